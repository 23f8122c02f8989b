"""How long a training step of an encoder with adapters takes on this machine, by rank."""

import platform
import re
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from eafl_flower.app.encoder import require_transformers
from eafl_flower.core.rng import generator
from eafl_flower.core.settings import CountFromOne, check_settings
from eafl_flower.energy.finetuning import step_times
from eafl_flower.errors import ConfigError

ADAPTED = ("query", "key", "value")
CLASSES = 6
_VERSIONS = ("torch", "transformers", "peft")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Layers, width, heads and vocabulary of a BERT; its weights are random, for times do not depend on them."""

    layers: CountFromOne
    width: CountFromOne
    heads: CountFromOne
    vocabulary: CountFromOne

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def title(self) -> str:
        """Its name in the table."""
        return f"bert {self.layers} x {self.width}"


SHAPES = (
    Shape(layers=4, width=128, heads=4, vocabulary=8000),
    Shape(layers=6, width=384, heads=12, vocabulary=30_522),
)


def measure_table(
    shapes: Sequence[Shape] = SHAPES,
    *,
    ranks: Sequence[int] = (4, 8, 16, 32, 64),
    batch_size: int = 16,
    length: int = 32,
    repeats: int = 60,
    on_shape: Callable[[str, dict[str, Any]], None] = lambda title, entry: None,
) -> dict[str, Any]:
    """Return the table of times for encoders of several shapes, with the machine it is of.

    A step is forward, backward and AdamW on query, key and value adapters and a linear head, for ``batch_size`` texts
    of ``length`` tokens. Times are of the processor, with one thread: the median of ``repeats`` steps, in which
    the ranks take turns, so that whatever else the machine does slows all of them alike.

    Raises
    ------
    ModuleNotFoundError
        If transformers or peft is not installed.
    ConfigError
        If a number is out of range, or the times are on no line.
    """
    if min(batch_size, length, repeats, *ranks) < 1 or len(set(ranks)) < 2:
        raise ConfigError(
            f"ranks {list(ranks)}, batch {batch_size}, length {length}, repeats {repeats}: expected two different "
            "ranks at least, and numbers from 1"
        )
    require_transformers("eafl encoder calibrate")
    encoders: dict[str, Any] = {}
    for shape in shapes:
        times = _times(shape, sorted(set(ranks)), batch_size, length, repeats)
        whole_s = times.pop(0)
        encoders[shape.title] = step_times(times, whole_s)
        on_shape(shape.title, encoders[shape.title])
    return {
        "machine": machine(),
        "versions": {name: version(name) for name in _VERSIONS},
        "batch_size": batch_size,
        "length": length,
        "repeats": repeats,
        "encoders": encoders,
    }


def machine() -> dict[str, str]:
    """Return which processor this is and how it is used, without the names of machines or people."""
    model = platform.processor() or platform.machine()
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        model = found.group(1).strip() if found else model
    except OSError:
        pass
    return {"processor": model, "architecture": platform.machine(), "system": platform.system(), "threads": "1"}


def _times(shape: Shape, ranks: Sequence[int], batch_size: int, length: int, repeats: int) -> dict[int, float]:
    """Return the median time of a step [s] by rank; 0: all weights are trained."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(0, "adapter times").integers(2**63)))
        steps = {rank: _step(shape, rank, batch_size, length) for rank in (0, *ranks)}
        took: dict[int, list[float]] = {rank: [] for rank in steps}
        for repeat in range(repeats + 2):
            for rank, step in steps.items():
                began = time.process_time()
                step()
                if repeat > 1:  # the first ones warm up
                    took[rank].append(time.process_time() - began)
    return {rank: round(statistics.median(seconds), 6) for rank, seconds in took.items()}


def _step(shape: Shape, rank: int, batch_size: int, length: int) -> Callable[[], None]:
    import torch
    from transformers import BertConfig, BertModel

    encoder: Any = BertModel(
        BertConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            intermediate_size=4 * shape.width,
        ),
        add_pooling_layer=False,
    )
    if rank:
        try:
            import peft
        except ModuleNotFoundError as error:
            msg = "eafl encoder calibrate needs peft: pip install 'eafl-flower[lora]'"
            raise ModuleNotFoundError(msg, name="peft") from error
        config = peft.LoraConfig(r=rank, lora_alpha=32, lora_dropout=0.1, target_modules=list(ADAPTED))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a name that is to go
            encoder = peft.get_peft_model(encoder, config)
    head = torch.nn.Linear(shape.width, CLASSES)
    trained = [p for p in (*encoder.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5)
    ids = torch.randint(shape.vocabulary, (batch_size, length))
    mask, labels = torch.ones_like(ids), torch.randint(CLASSES, (batch_size,))

    def step() -> None:
        vectors = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        optimizer.zero_grad()
        loss: Any = torch.nn.functional.cross_entropy(head(vectors.mean(1)), labels)
        loss.backward()
        optimizer.step()

    return step
