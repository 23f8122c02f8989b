"""All floating arrays of a layout as one float32 vector, the other arrays as their own bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.literal import from_buffer, not_finite, num_bytes, to_buffer
from eafl_flower.errors import CodecError
from eafl_flower.types import Array, Arrays, Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Where the arrays of a layout go.

    ``pooled`` are the places of the floating arrays, ``starts`` where each begins in the vector and where
    the last one ends; ``literal`` are the places of the others, of ``literal_bytes`` together. The vector
    is padded with zeros to ``num_blocks`` blocks of ``block_size`` values.
    """

    layout: Layout
    block_size: int
    pooled: tuple[int, ...]
    starts: tuple[int, ...]
    literal: tuple[int, ...]
    literal_bytes: int

    @property
    def num_values(self) -> int:
        """Values of the floating arrays."""
        return self.starts[-1]

    @property
    def num_blocks(self) -> int:
        """Blocks, the last one padded."""
        return -(-self.num_values // self.block_size)

    @property
    def num_padded(self) -> int:
        """Values of the padded vector."""
        return self.num_blocks * self.block_size

    def gather(self, arrays: Sequence[Array]) -> NDArray[np.float32]:
        """Return the padded vector; values beyond the range of float32 become infinite."""
        values = np.empty(self.num_padded, np.float32)
        with np.errstate(over="ignore"):
            for i, start, stop in zip(self.pooled, self.starts[:-1], self.starts[1:], strict=True):
                values[start:stop] = arrays[i].reshape(-1)
        values[self.num_values :] = 0
        return values

    def refusal(self, arrays: Sequence[Array]) -> CodecError:
        """Return the error for arrays whose vector is not finite."""
        return next(not_finite(i, arrays[i]) for i in self.pooled if not _fits_float32(arrays[i]))

    def literals(self, arrays: Sequence[Array]) -> list[memoryview]:
        """Return the other arrays as bytes."""
        return [to_buffer(i, arrays[i]) for i in self.literal]

    def scatter(self, values: NDArray[np.float32], body: memoryview, offset: int) -> Arrays:
        """Return the arrays: floating ones are cut from the vector, others read from ``body`` at ``offset``.

        Arrays of float32 are views of the vector.

        Raises
        ------
        CodecError
            If ``body`` holds a value that its dtype does not have.
        """
        arrays: dict[int, Array] = {}
        for i, start, stop in zip(self.pooled, self.starts[:-1], self.starts[1:], strict=True):
            spec = self.layout[i]
            arrays[i] = _cast(values[start:stop], spec.dtype).reshape(spec.shape)
        for i in self.literal:
            arrays[i] = from_buffer(i, body, offset, self.layout[i])
            offset += num_bytes(self.layout[i])
        return tuple(arrays[i] for i in range(len(arrays)))


@lru_cache(maxsize=64)
def pool_of(layout: Layout, block_size: int) -> Pool:
    """Return where the arrays of ``layout`` go."""
    pooled = tuple(i for i, spec in enumerate(layout) if spec.dtype.startswith("float"))
    literal = tuple(i for i, spec in enumerate(layout) if not spec.dtype.startswith("float"))
    return Pool(
        layout=layout,
        block_size=block_size,
        pooled=pooled,
        starts=tuple(accumulate((layout[i].size for i in pooled), initial=0)),
        literal=literal,
        literal_bytes=sum(num_bytes(layout[i]) for i in literal),
    )


def _cast(values: NDArray[np.float32], dtype: str) -> Array:
    if dtype == "float32":
        return values
    if dtype == "float16":  # a decoded value may lie beyond the largest float16
        values = np.clip(values, np.finfo(np.float16).min, np.finfo(np.float16).max)
    return values.astype(dtype)


def _fits_float32(array: Array) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float32)).all())
