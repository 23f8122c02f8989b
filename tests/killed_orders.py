"""What a process does that a test will kill, with parts that are none of ours: imported by it, so it stands alone."""

import json
from pathlib import Path

from ordered_app import Sums, factory_of, initial
from schedulers import Growing
from shared_link import SharedLink

from eafl_flower.aggregation import NewestMean
from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.engines import InlineGrid
from eafl_flower.simulation.churn import OnOff
from eafl_flower.strategies import AsynchronousStrategy

MERGES = 120
CODECS = {"plain": None, "int8": Int8Codec(), "lqgcm": LQGCMCodec(tuples=8, downlink_tuples=4)}


class Lines:
    """An observer that leaves one line an event behind, whatever happens to its process."""

    def __init__(self, path):
        self.file = path.open("ab", buffering=0)

    def write(self, event):
        self.file.write(json.dumps([event["event"], event.get("merge")]).encode() + b"\n")

    def close(self):
        self.file.close()


def work(kind: str, codec: str, folder: str, resume: bool) -> None:
    """Run or resume a federation over a shared link, each client with its own epochs; write what came of it."""
    here = Path(folder)
    here.mkdir(parents=True, exist_ok=True)
    app = factory_of(CODECS[codec], kind=kind, state_dir=here / "clients")()
    strategy = AsynchronousStrategy(
        lambda *_: Sums() if kind == "message" else NewestMean(),
        scheduler=Growing(),
        radio=SharedLink(),
        codec=CODECS[codec],
        concurrency=4,
        seed=3,
        unit="merges",
        churn=OnOff(seed=1, mean_on_s=30.0, mean_off_s=10.0),
        evaluate_every=30,
        node_timeout_s=600.0,
        checkpoint=here / "server.safetensors",
        checkpoint_every=7,
        resume=resume,
        run_name="killed",
        observer=Lines(here / "lines.jsonl"),
    )
    strategy.start(InlineGrid(app, 5), initial(), num_rounds=MERGES)
    run = strategy.run
    total = run.ledger.total()
    found = [
        run.arrays_sha256(),
        repr(run.tally),
        repr(run.plans),
        total.time_s,
        total.energy_j,
        repr(run.client_scores),
    ]
    (here / "found.json").write_text(json.dumps(found))
