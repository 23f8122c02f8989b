"""A package of somebody else, with a codec that it names as an entry point and an aggregator that it does not."""

import textwrap
from pathlib import Path

MODULE = '''
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from eafl_flower.aggregation.reference import FedAvg
from eafl_flower.codecs import Float32Codec
from eafl_flower.core.settings import Positive, Range


@dataclass(frozen=True, kw_only=True)
class Coarse:
    """A codec that rounds to multiples of a step."""

    step: Positive = 0.01

    def init(self, layout):
        return Float32Codec().init(layout)

    def encode(self, state, arrays, rng):
        coarse = tuple((np.round(a / self.step) * self.step).astype(a.dtype) for a in arrays)
        return Float32Codec().encode(state, coarse, rng)

    def decode(self, state, payload):
        return Float32Codec().decode(state, payload)


@dataclass(frozen=True, kw_only=True)
class Damped:
    """An aggregator by its settings: a share of the sum of what is in flight."""

    share: Annotated[float, Range(0, 1)] = 1.0

    def make(self, fleet):
        return Adding(rate=self.share / fleet.in_flight, staleness=fleet.rule())


class Adding:
    """An aggregator that adds updates, weighed by their staleness."""

    def __init__(self, *, rate, staleness):
        self.rate, self.staleness, self.inner = rate, staleness, FedAvg()
        self.init, self.arrays = self.inner.init, self.inner.arrays

    def apply(self, state, updates):
        return self.inner.apply(state, [self.weighed(state, update) for update in updates])

    def weighed(self, state, update):
        weight = np.float32(self.rate * self.staleness.weight(state.version - update.base_version))
        return replace(update, delta=tuple(weight * d for d in update.delta))


@dataclass
class Open:
    """No part: it is not frozen."""


@dataclass(frozen=True)
class Wanting:
    """No part: a field has no default."""

    rows: int


@dataclass(frozen=True, kw_only=True)
class Choosy:
    """A codec that has an opinion of its own."""

    low: int = 0
    high: int = 1

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
'''
PRESET = """
name = "toy"
[data]
clients = 6
unseen = 1
[data.idm]
rows-per-client = 32
[task.tabular]
hidden = "8,8"
[strategy]
name = "somebody.parts:Damped"
merges = 12
concurrency = 3
[strategy."somebody.parts:Damped"]
share = 0.9
[staleness]
name = "polynomial"
[codec]
name = "coarse"
[codec.coarse]
step = 0.001
[results]
baselines = "none"
"""


def install(folder: Path, *entry_points: str, name: str = "somebody") -> Path:
    """Put the package into a folder of packages; ``entry_points`` are lines of its metadata."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").touch()
    (folder / name / "parts.py").write_text(MODULE)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = entry_points or ("[eafl_flower.codecs]", f"coarse = {name}.parts:Coarse")
    (metadata / "entry_points.txt").write_text(textwrap.dedent("\n".join(lines)) + "\n")
    return folder
