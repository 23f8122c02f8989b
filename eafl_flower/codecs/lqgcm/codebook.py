"""Codebooks of LQGCM: shapes of blocks, trained on updates, in a file that both sides have.

A codebook is a safetensors file (a header and raw numbers: reading it runs no code) with one tensor ``shapes``,
float32: `(5, 256, 256)` for residual quantisation, five stages of 256 shapes of a block, or `(256, 256)` with a
tensor ``step`` `(1,)` for shapes whose groups of eight values are raised or lowered by the step. Shapes are of
blocks of norm 1. Every payload carries a hash of the codebook, so another one is refused.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from eafl_flower.codecs.lqgcm.kmeans import CENTRES, half_energies, kmeans, nearest
from eafl_flower.codecs.lqgcm.tuples import BLOCK, PICKED
from eafl_flower.errors import ConfigError
from eafl_flower.types import digest

GROUP = 8  # values that share a sign of the literal mode

_SHAPES = {"rvq": (PICKED, CENTRES, BLOCK), "literal": (CENTRES, BLOCK)}
_MOST_BYTES = 2**21  # of a file


@dataclass(frozen=True, eq=False)
class Codebook:
    """Shapes of blocks, and the step of the literal mode (0 otherwise).

    Raises
    ------
    ConfigError
        If they are not of the sizes above, or not finite numbers from -1 to 1.
    """

    shapes: NDArray[np.float32] = field(repr=False)
    step: float = 0.0

    def __post_init__(self) -> None:
        step = 1.0 if self.mode == "rvq" else self.step
        if self.shapes.dtype != np.float32 or not (np.abs(self.shapes) <= 1).all() or not 0 < step <= 1:
            msg = "a codebook holds values beyond -1 to 1, or not of float32"
            raise ConfigError(msg)

    @property
    def mode(self) -> str:
        """The mode it is for."""
        for mode, shape in _SHAPES.items():
            if self.shapes.shape == shape:
                return mode
        msg = f"a codebook has shapes {self.shapes.shape}, expected one of {tuple(_SHAPES.values())}"
        raise ConfigError(msg)

    @cached_property
    def half_energies(self) -> NDArray[np.float64]:
        """Half the squared norm of each shape."""
        return half_energies(self.shapes)

    @cached_property
    def sha256(self) -> str:
        """What identifies it."""
        return digest((self.shapes, np.array([self.step], np.float32)))


def read_codebook(path: Path | str) -> Codebook:
    """Read a codebook.

    Raises
    ------
    ConfigError
        If there is no such file, or none that ``write_codebook`` wrote.
    """
    try:
        if (size := Path(path).stat().st_size) > _MOST_BYTES:
            msg = f"codebook = {str(path)!r}: {size} bytes, a codebook has at most {_MOST_BYTES}"
            raise ConfigError(msg)
        tensors = load(Path(path).read_bytes())
        step = float(tensors["step"][0]) if "step" in tensors else 0.0
        return Codebook(tensors["shapes"], step)
    except (OSError, SafetensorError, KeyError, IndexError, TypeError) as error:
        msg = f"codebook = {str(path)!r}: cannot be read as a codebook ({error!r})"
        raise ConfigError(msg) from error


def write_codebook(codebook: Codebook, path: Path | str) -> None:
    """Write a codebook to a file."""
    tensors: dict[str, NDArray[Any]] = {"shapes": codebook.shapes}
    if codebook.step:
        tensors["step"] = np.array([codebook.step], np.float32)
    save_file(tensors, path)


def fit_codebook(mode: str, blocks: NDArray[np.float32], rng: np.random.Generator) -> Codebook:
    """Return a codebook for ``mode`` ("rvq" or "literal"), trained on blocks `(n, 256)` of any gain, n >= 256."""
    rest = np.array(blocks / np.maximum(np.linalg.norm(blocks, axis=1, keepdims=True), np.finfo(np.float32).tiny))
    stages = []
    for _ in range(PICKED if mode == "rvq" else 1):
        centres = np.clip(kmeans(rest, rng), -1, 1)
        rest -= centres[nearest(rest, centres)]
        stages.append(centres)
    if mode == "rvq":
        return Codebook(np.stack(stages))
    # the best step for signs of group sums is the mean magnitude of the groups' means
    step = float(np.abs(rest.reshape(len(rest), -1, GROUP).mean(axis=2)).mean())
    return Codebook(stages[0], max(step, float(np.finfo(np.float32).tiny)))
