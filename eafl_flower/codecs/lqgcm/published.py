r"""The codec as its source publishes it, for comparison only: it transmits next to nothing.

For each floating array apart: cut into blocks of 256, padded with zeros, and keep the
:math:`K = \lceil 0.2\,G \rceil` of largest variance. A kept block :math:`v` becomes a tuple ``<I B I H>``:

.. math:: s = \max|v| / 127 + 10^{-8}, \quad u = v / s, \quad k = \arg\min_j \lVert C_j - u\rVert^2, \quad
          f_g = \Bigl[\sum_{i \in \text{group } g}(u - C_k)_i > 0\Bigr]

of block number in the array, codeword :math:`k`, 32 flags (groups of eight values) and :math:`s` as float16. The
receiver takes :math:`(C_k + \tfrac{1}{256}(2 f - 1))\, s` and zero for all other blocks. Nothing is remembered
and nothing is added up: what is not sent is lost. The codebook :math:`C` holds 256 centres of white noise, with
entries of about 0.36, while :math:`u` reaches 127: that is why the decoded blocks carry less than a hundredth
of an update's energy. The source's dither and noise never enter its payloads.

Read in the source: all of the above. Inferred: a flag that is not set lowers its group (the code of the source
can be read both ways; it changes the values by 1e-5). Ours: k-means starts once instead of eight times, is
seeded and exact, so that every machine gets the same codebook; scales beyond float16 are cut off; four bytes
with the counter precede the tables, for the numbers that the source sends beside them as text, and arrays that
are not floating follow.

Layout, little-endian: counter u32; for each floating array with values u16 index, u32 size of the tuples, tuples
of 11 bytes; other arrays. There is no checksum: a payload of the right size decodes to something.
"""

import struct
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.float32 import Float32Codec
from eafl_flower.codecs.framing import MAX_COUNTER, layout_hash
from eafl_flower.codecs.literal import check_fit
from eafl_flower.codecs.lqgcm.kmeans import nearest
from eafl_flower.codecs.lqgcm.noise_codebook import noise_codebook
from eafl_flower.codecs.lqgcm.tuples import BLOCK, TUPLE, Tuples, Vector
from eafl_flower.codecs.pooling import Pool, pool_of
from eafl_flower.codecs.stream_state import StreamState
from eafl_flower.core.settings import NotNegative, check_settings
from eafl_flower.errors import CodecError
from eafl_flower.types import Arrays, Encoded, Layout

_COUNTER: Final = struct.Struct("<I")
_TABLE: Final = struct.Struct("<HI")
_GROUP: Final = 8
_STEP: Final = 1 / 256
_FLAG_BITS: Final = 1 << np.arange(BLOCK // _GROUP)
_LARGEST_SCALE: Final = float(np.finfo(np.float16).max)


@dataclass(frozen=True, kw_only=True)
class PublishedLQGCMCodec:
    """Code differences as the source does; ``Encoded.error`` is close to 1. The way down is float32.

    Parameters
    ----------
    l1_clip
        Scale an update down to this L1 norm first, as the source does with 1; 0: not. The error is
        relative to the update as it was given.

    Raises
    ------
    ConfigError
        If ``l1_clip`` is negative or not a number.
    """

    l1_clip: NotNegative = 0.0

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def downlink(self) -> Float32Codec:
        """The source sends all parameters down, in float32: as many bytes as the difference takes."""
        return Float32Codec()

    def init(self, layout: Layout) -> StreamState:
        """Return the state of a stream of arrays with this layout.

        Raises
        ------
        CodecError
            If the layout cannot be coded.
        """
        layout_hash(layout)  # validates
        if len(layout) > 2**16:
            msg = f"layout of {len(layout)} arrays, the published codec numbers at most {2**16}"
            raise CodecError(msg)
        return StreamState(layout=layout)

    def encode(self, state: StreamState, arrays: Arrays, rng: np.random.Generator) -> tuple[Encoded, StreamState]:
        """Encode ``arrays``; draws nothing from ``rng``.

        Raises
        ------
        CodecError
            If they do not fit the layout or are not finite, or the counter does not fit into 32 bits.
        """
        check_fit(arrays, state.layout)
        if not 0 <= state.counter <= MAX_COUNTER:
            msg = f"payload counter {state.counter}: expected a number from 0 to {MAX_COUNTER}"
            raise CodecError(msg)
        pool = pool_of(state.layout, BLOCK)
        values = pool.gather(arrays)[: pool.num_values]
        if not np.isfinite(values).all():
            raise pool.refusal(arrays)
        wide = values.astype(np.float64)
        clip = min(1.0, self.l1_clip / max(float(np.abs(wide).sum()), 1e-300)) if self.l1_clip else 1.0
        tables = _tables(state.layout)
        tuples = [self._tuples(clip * wide[table.values], table.num_tuples) for table in tables]
        parts = [_COUNTER.pack(state.counter)]
        for table, coded in zip(tables, tuples, strict=True):
            parts += [_TABLE.pack(table.index, coded.nbytes), coded.tobytes()]
        payload = b"".join([*parts, *pool.literals(arrays)])
        decoded = self._vector(pool, tables, tuples)
        norm = float(np.sum(wide**2))
        error = float(np.sqrt(np.sum((decoded - wide) ** 2) / norm)) if norm else 0.0
        return Encoded(payload=payload, bits_paper=8 * sum(t.nbytes for t in tuples), error=error), state

    def decode(self, state: StreamState, payload: bytes) -> tuple[Arrays, StreamState]:
        """Decode ``payload``; the returned state has its counter.

        Raises
        ------
        CodecError
            If ``encode`` cannot have made it for this layout. Altered tuples mostly go unnoticed.
        """
        pool, tables = pool_of(state.layout, BLOCK), _tables(state.layout)
        size = _COUNTER.size + sum(_TABLE.size + t.num_tuples * TUPLE.itemsize for t in tables) + pool.literal_bytes
        if len(payload) != size:
            msg = f"payload is {len(payload)} bytes, its layout needs {size}: truncated in transit?"
            raise CodecError(msg)
        offset, tuples = _COUNTER.size, []
        for table in tables:
            expected = (table.index, table.num_tuples * TUPLE.itemsize)
            if (found := _TABLE.unpack_from(payload, offset)) != expected:
                msg = f"payload has a table of array {found[0]} with {found[1]} bytes, expected {expected}"
                raise CodecError(msg)
            offset += _TABLE.size
            tuples.append(np.frombuffer(payload, TUPLE, count=table.num_tuples, offset=offset))
            offset += expected[1]
        vector = self._vector(pool, tables, tuples)
        arrays = pool.scatter(vector, memoryview(payload), offset)
        return arrays, replace(state, counter=_COUNTER.unpack_from(payload)[0])

    def _tuples(self, values: NDArray[np.float64], num_tuples: int) -> Tuples:
        blocks = np.zeros((-(-values.size // BLOCK), BLOCK))
        blocks.reshape(-1)[: values.size] = values
        largest = max(float(np.abs(values).max()), 1e-300)
        kept = np.sort(np.argsort(-(blocks / largest).var(axis=1), kind="stable")[:num_tuples])
        scales = np.abs(blocks[kept]).max(axis=1) / 127 + 1e-8
        units, codebook = (blocks[kept] / scales[:, None]).astype(np.float32), noise_codebook()
        codewords = nearest(units, codebook)
        rest = (units - codebook[codewords]).reshape(num_tuples, -1, _GROUP)
        tuples = np.empty(num_tuples, TUPLE)
        tuples["block"], tuples["low"] = kept, codewords
        tuples["high"] = (rest.sum(axis=2) > 0) @ _FLAG_BITS
        tuples["gain"] = np.minimum(scales, _LARGEST_SCALE)
        return tuples

    def _vector(self, pool: Pool, tables: "tuple[_Table, ...]", tuples: list[Tuples]) -> Vector:
        vector = np.zeros(pool.num_values, np.float32)
        for table, coded in zip(tables, tuples, strict=True):
            blocks = np.zeros((table.num_blocks, BLOCK), np.float32)
            scales = coded["gain"].astype(np.float32)
            if coded["block"].max() >= table.num_blocks or not (np.isfinite(scales) & (scales >= 0)).all():
                msg = f"a tuple of array {table.index} names a block that does not exist, or its scale is no number"
                raise CodecError(msg)
            flags = np.where(coded["high"][:, None] & _FLAG_BITS, _STEP, -_STEP).astype(np.float32)
            shapes = noise_codebook()[coded["low"]] + np.repeat(flags, _GROUP, axis=1)
            blocks[coded["block"]] = shapes * scales[:, None]
            vector[table.values] = blocks.reshape(-1)[: table.num_values]
        return vector


@dataclass(frozen=True, slots=True)
class _Table:
    """The part of a payload that belongs to one floating array."""

    index: int
    values: slice  # of the vector

    @property
    def num_values(self) -> int:
        return int(self.values.stop - self.values.start)

    @property
    def num_blocks(self) -> int:
        return -(-self.num_values // BLOCK)

    @property
    def num_tuples(self) -> int:
        return -(-self.num_blocks // 5)  # a fifth, in integers


@lru_cache(maxsize=64)
def _tables(layout: Layout) -> tuple[_Table, ...]:
    pool = pool_of(layout, BLOCK)
    return tuple(
        _Table(i, slice(start, stop))
        for i, start, stop in zip(pool.pooled, pool.starts[:-1], pool.starts[1:], strict=True)
        if stop > start
    )
