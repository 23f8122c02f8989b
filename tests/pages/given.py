"""What programs and commands of pages take for granted: names that a reader has, and files of the reader's own."""

import pickle
import re
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import fixedclipping_mod
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg
from foreign_app import NUM_CLIENTS, ordinary_app, start
from page_blocks import CHECKOUT
from shown_output import lines_not_printed, shown_after

from eafl_flower import EMQ, AsyncEMAM, EMQCodec, InlineGrid, Int8Codec, UCBDual, UCBDualScheduler, alignment_app
from eafl_flower.alignment import (
    Alignment,
    AlignmentLearner,
    User,
    access_point,
    fit_whitening,
    pack,
    statistics_of,
)
from eafl_flower.clients import compression_mod, finetune_app
from eafl_flower.core.orders import Order
from eafl_flower.core.settings import Positive, check_settings
from eafl_flower.data.latents import LatentRows, Latents, write_latents
from eafl_flower.radio.mimo import complex_normal
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.roadside.parked import Parked
from eafl_flower.strategies import Compressed, FederatedAlignment
from eafl_flower.types import ArraySpec


def names_of(page, folder):
    """Return the names that the programs of a page find; files go to ``folder``."""
    usual = {"np": np, "rng": np.random.default_rng(1), "dataclass": dataclass, "ArrayRecord": ArrayRecord}
    return usual | _NAMES.get(page, lambda folder: {})(folder)


def files_of(page, folder):
    """Write the files that the commands of a page find."""
    if page in ("README.md", "docs/data.md"):
        _write_table(folder / "mine.csv")
    if page == "docs/own-parts.md":
        (folder / "mine.toml").write_text('name = "mine"\n\n[strategy]\nmerges = 10\n')


def check_commands(page, folder, output):
    """Look at what the commands of a page have left and said."""
    if page == "docs/your-fleet.md":
        page_text = (CHECKOUT / page).read_text()
        shown = re.findall(r"^```\n(vans\.csv: .*?)^```$", page_text, flags=re.DOTALL | re.MULTILINE)
        assert len(shown) == 2
        assert all(text in output for text in shown)  # the file, and what is in it
        assert lines_not_printed(shown_after(page_text, " accuracy "), output) == []
        (run,) = folder.glob("runs/vans-*")
        found = RunDirectory.open(run).summary()
        alone = found["baselines"]["no_communication"]
        assert found["accuracy"]["before"] > alone["before"] + 0.03  # federation helps, and newcomers most
        assert found["accuracy"]["unseen"] > alone["unseen"] + 0.1
        assert (run / "report.html").is_file()
        assert len((folder / "van-03-predicted.csv").read_text().splitlines()) == 97
        assert len(list((folder / "rows").glob("van-*.csv"))) == 12


def _write_table(path):
    """Five vehicles on three kinds of roads; the kind of a row follows from its numbers."""
    rng = np.random.default_rng(2)
    lines = ["kind,vehicle,when,speed,headway,road"]
    for row in range(300):
        speed, headway = rng.uniform(5, 30), rng.uniform(5, 60)
        kind = "near" if headway < speed else "far"
        lines.append(f"{kind},v{row % 5},{row // 5},{speed:.1f},{headway:.1f},{'abc'[row % 3]}")
    path.write_text("\n".join(lines) + "\n")


def _readme(folder):
    return {"grid": InlineGrid(ordinary_app(), NUM_CLIENTS), "initial_arrays": start()}


def _latents(count):
    """A datum in each row, of width 8."""
    return np.random.default_rng(3).standard_normal((count, 8))


def _alignment(folder):
    """An access point and two users, whose latents are mixed differently."""
    theirs = _latents(60).T  # a datum in each column
    own = np.tanh(np.random.default_rng(4).standard_normal((6, 8)) @ theirs)
    white = fit_whitening(pack(theirs)).apply(pack(theirs))
    channel, sigma = complex_normal((4, 4), 0.5, np.random.default_rng(5)), 0.05

    def learner(user):
        whitening = fit_whitening(pack(own))
        known = statistics_of(whitening.apply(pack(own)), white)
        return AlignmentLearner(
            user=User(channel=channel, noise_std=sigma, known=known), whitening=whitening, size=len(own)
        )

    return {
        **{"Alignment": Alignment, "User": User, "access_point": access_point, "statistics_of": statistics_of},
        **{"H": channel, "sigma": sigma, "X": white, "S": fit_whitening(pack(own)).apply(pack(own)), "own": own},
        **{"pilots": theirs, "latents": theirs, "grid": InlineGrid(alignment_app(learner), 2)},
    }


def _cifar(folder):
    """The publisher's batches, ten images each."""
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    for number in range(1, 6):
        batch = {b"data": np.zeros((10, 3072), np.uint8), b"labels": list(range(10))}
        (batches / f"data_batch_{number}").write_bytes(pickle.dumps(batch))
    return {}


def _encoders(folder):
    """Files of two encoders of the same images."""
    rng = np.random.default_rng(6)
    (folder / "latents" / "digits").mkdir(parents=True)
    for name, width in (("vit-64-1", 64), ("cnn-48-1", 48)):
        parts = {}
        for number, (part, size) in enumerate((("train", 60), ("val", 20), ("test", 20))):
            labels = np.arange(size) % 10
            absolute = (np.eye(10)[labels] @ rng.standard_normal((10, width))).astype(np.float32)
            absolute += 0.1 * rng.standard_normal(absolute.shape).astype(np.float32)
            images = np.arange(size) + 1000 * number
            parts[part] = LatentRows(absolute=absolute, labels=labels, images=images)
        latents = Latents(encoder=name, data="digits", trained_on="", splits=parts)
        write_latents(folder / "latents" / "digits" / f"{name}.safetensors", latents)
    return {}


def _adapters(folder):
    """An app whose clients send back what they got."""
    app = ClientApp()

    @app.train()
    def train(message, context):
        content = {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})}
        return Message(RecordDict(content), reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1})}), reply_to=message)

    rng = np.random.default_rng(7)
    shapes = {"a_1": (12, 8), "b_1": (8, 10), "a_2": (10, 8), "b_2": (8, 9), "head_weights": (3, 4), "head_bias": (4,)}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return {**arrays, "grid": InlineGrid(app, 3), "texts": ["a"], "labels": [0], "tokenizer": None, "my_test_set": []}


def _own_app(folder):
    stub = SimpleNamespace(log=lambda values, step: None, save=lambda arrays, path: None)
    settings = Alignment(channel_uses=3)
    return {
        **{kind.__name__: kind for kind in (AsyncEMAM, ClientApp, Compressed, EMQ, EMQCodec, FedAvg, UCBDual)},
        **{kind.__name__: kind for kind in (Alignment, FederatedAlignment, UCBDualScheduler)},
        **{"NumPyClient": NumPyClient, "Order": Order, "ArraySpec": ArraySpec},
        "DifferentialPrivacyServerSideFixedClipping": DifferentialPrivacyServerSideFixedClipping,
        **{"fixedclipping_mod": fixedclipping_mod, "finetune_app": finetune_app, "alignment_app": alignment_app},
        **{
            "compression_mod": compression_mod,
            "codec": Int8Codec(),
            "tasks_of": lambda partition, partitions: {},
            "learner_of": lambda user: None,
        },
        **{"encoder": lambda images: images, "pilots": _latents(40), "settings": settings},
        **{"wandb": stub, "torch": stub},
    }


_NAMES = {
    "README.md": _readme,
    "docs/alignment.md": _alignment,
    "docs/data.md": _cifar,
    "docs/latents.md": _encoders,
    "docs/lora.md": _adapters,
    "docs/lqgcm.md": lambda folder: {"blocks": np.random.default_rng(8).standard_normal((400, 256)).astype(np.float32)},
    "docs/own-flower-app.md": _own_app,
    "docs/own-parts.md": lambda folder: {"Positive": Positive, "check_settings": check_settings},
    "docs/ucb-dual.md": lambda folder: {"Parked": Parked, "UCBDual": UCBDual},
}
