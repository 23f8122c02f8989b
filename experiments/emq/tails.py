"""The error target of EMQ swept on random gradients of known tails: error reached, digits and bits.

Nothing is trained. A digit more makes the squared error a hundred times smaller with base 10, which has few of them,
and four times smaller with base 2.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.emq.codec import EMQCodec
from eafl_flower.core.rng import generator
from eafl_flower.types import layout_of

TARGETS = (0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 1e-4, 1e-5)
DEFAULT = 0.01
SIZE = 2**17
SEEDS = (1, 2, 3)
BASES: Mapping[str, int] = {"auto": 10, "binary": 2}
_PLACE_OF_DIGITS = 16 + 3  # behind the frame, the kind of grid and its exponent: docs/emq.md, Bytes
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
HEADER = ("tail", "base", "target", "squared error reached", "r", "bits a value, sent", "counted", "of float32")


def _sparse(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    return rng.standard_normal(size) * (rng.random(size) < 0.05)


TAILS: Mapping[str, Draw] = {
    "Gaussian": lambda rng, size: rng.standard_normal(size),
    "Laplace": lambda rng, size: rng.laplace(size=size),
    "Student-t, 3": lambda rng, size: rng.standard_t(3.0, size),
    "Student-t, 2.2": lambda rng, size: rng.standard_t(2.2, size),
    "sparse, 5 % Gaussian": _sparse,
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a target leads to, means over seeds: squared error, digits, and bits a value by both counts."""

    tail: str
    variant: str
    target: float
    squared_error: float
    digits: float
    wire: float
    paper: float


def sweep() -> Iterable[Point]:
    """Yield a point for each tail, base and target."""
    for tail, draw in TAILS.items():
        vectors = [draw(generator(seed, "tails", tail), SIZE).astype(np.float32) for seed in SEEDS]
        for variant in BASES:
            for target in TARGETS:
                found = np.array([coded(x, variant, target) for x in vectors]).mean(axis=0)
                error, digits, wire, paper = found.tolist()
                yield Point(
                    tail=tail,
                    variant=variant,
                    target=target,
                    squared_error=error,
                    digits=digits,
                    wire=wire,
                    paper=paper,
                )


def coded(x: NDArray[np.float32], variant: str, target: float) -> tuple[float, float, float, float]:
    """Return the relative squared error reached, r, and bits a value as sent and as counted."""
    codec = EMQCodec(variant=variant, squared_error=target)  # type: ignore[arg-type]
    encoded, _ = codec.encode(codec.init(layout_of((x,))), (x,), np.random.default_rng(0))
    return (
        encoded.error**2,
        encoded.payload[_PLACE_OF_DIGITS],
        8 * len(encoded.payload) / x.size,
        encoded.bits_paper / x.size,
    )


def table(points: Iterable[Point]) -> list[tuple[str, ...]]:
    """Return a line for each point."""
    return [
        (
            p.tail,
            str(BASES[p.variant]),
            f"{p.target:g}",
            f"{p.squared_error:.2g}{' (missed)' if p.squared_error > p.target else ''}",
            f"{p.digits:.1f}".removesuffix(".0"),
            f"{p.wire:.2f}",
            f"{p.paper:.2f}",
            f"{100 * p.wire / 32:.1f} %",
        )
        for p in points
    ]
