"""Eight bits a value: blocks that share a scale, with error feedback.

All floating arrays are pooled into one vector and cut into blocks; see ``block_scales`` for what
happens to a block. The body of a payload is the block size (u16), the scales (2 bytes each), one
byte a value, and the other arrays as they are.

References
----------
Seide et al., "1-Bit Stochastic Gradient Descent", Interspeech 2014; Karimireddy et al., "Error
Feedback Fixes SignSGD and other Gradient Compression Schemes", ICML 2019.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.block_scales import dequantise, quantise
from eafl_flower.codecs.framing import INT8_ID, frame, layout_hash, unframe
from eafl_flower.codecs.literal import check_fit, from_buffer, not_finite, num_bytes, to_buffer
from eafl_flower.errors import CodecError, ConfigError
from eafl_flower.types import Array, Arrays, Encoded, Layout

_VERSION: Final = 1
_BLOCK_SIZE: Final = struct.Struct("<H")


def _nothing() -> NDArray[np.float32]:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Int8State:
    """A stream of arrays with one layout, and what its payloads have left out so far.

    ``residual`` belongs to the payloads the receiver is known to have used, ``pending`` to payload
    ``pending_counter`` (0: none). Both are empty or hold one value for each value of the padded vector.
    """

    layout: Layout
    residual: NDArray[np.float32] = field(default_factory=_nothing)
    pending: NDArray[np.float32] = field(default_factory=_nothing)
    pending_counter: int = 0
    counter: int = 0
    acknowledged: int = 0


@dataclass(frozen=True, kw_only=True)
class Int8Codec:
    """Code floating arrays with eight bits a value and one scale a block; others without loss.

    With error feedback the sender adds to each update what its earlier payloads left out (the
    residual), so that rounding errors do not add up over a run. What a payload leaves out counts
    only if the receiver has used that payload: ``encode`` keeps it as pending, and the next
    ``encode`` takes it over if ``state.acknowledged >= state.pending_counter``. Otherwise that
    upload was lost with everything in it; its update is gone whether it was coded or not, the
    pending residual goes with it, and the residual before it stays.

    The caller sets ``counter`` (1, 2, ...) and ``acknowledged`` before each ``encode``, which leaves
    them alone. Counter 0 is a payload outside of any stream: it neither uses nor changes what is
    remembered. So ``encode(init(layout), ...)`` codes without a memory, as the downlink does.

    ``Encoded.error`` compares the decoded arrays with what was to be encoded, without the residual.
    Arrays of float64 must lie in the range of float32; arrays of float16 are rounded once more when
    decoded, which the error does not include.

    Parameters
    ----------
    block_size
        Values that share a scale, 1 to 65535.
    error_feedback
        Whether to keep residuals.

    Raises
    ------
    ConfigError
        If ``block_size`` is out of range.
    """

    block_size: int = 256
    error_feedback: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.block_size <= 65535:
            msg = f"codec.block-size = {self.block_size}: expected a number from 1 to 65535"
            raise ConfigError(msg)

    def init(self, layout: Layout) -> Int8State:
        """Return the state of a stream of arrays with this layout.

        Raises
        ------
        CodecError
            If the layout cannot be coded.
        """
        layout_hash(layout)  # validates
        return Int8State(layout=layout)

    def encode(self, state: Int8State, arrays: Arrays, rng: np.random.Generator) -> tuple[Encoded, Int8State]:
        """Encode ``arrays``; draws nothing from ``rng``. The old state stays as it is.

        Raises
        ------
        CodecError
            If they do not fit the layout, are not finite, or the residual belongs to another layout.
        """
        plan = _plan(state.layout, self.block_size)
        check_fit(arrays, state.layout)
        remembers = self.error_feedback and state.counter > 0
        residual = self._residual(state, plan) if remembers else _nothing()
        kept = np.empty(plan.num_padded, np.float32) if remembers else _nothing()
        with np.errstate(over="ignore", invalid="ignore"):
            quantised = quantise(_pool(arrays, plan), residual, kept, block_size=self.block_size)
        if quantised is None:
            raise next(not_finite(i, arrays[i]) for i in plan.pooled if not _fits_float32(arrays[i]))
        scale_bits, codes, error = quantised
        literals = [to_buffer(i, arrays[i]) for i in plan.literal]
        payload = frame(
            [_BLOCK_SIZE.pack(self.block_size), scale_bits.data, codes[: plan.num_values].data, *literals],
            codec_id=INT8_ID,
            codec_version=_VERSION,
            layout=state.layout,
            counter=state.counter,
        )
        encoded = Encoded(payload=payload, bits_paper=8 * plan.body_bytes, error=error)
        if remembers:
            state = replace(state, residual=residual, pending=kept, pending_counter=state.counter)
        return encoded, state

    def decode(self, state: Int8State, payload: bytes) -> tuple[Arrays, Int8State]:
        """Decode ``payload``; the returned state has its counter.

        Raises
        ------
        CodecError
            If ``encode`` cannot have made it.
        """
        plan = _plan(state.layout, self.block_size)
        counter, body = unframe(
            payload, codec_id=INT8_ID, codec_version=_VERSION, layout=state.layout, body_bytes=plan.body_bytes
        )
        (block_size,) = _BLOCK_SIZE.unpack_from(body)
        if block_size != self.block_size:
            msg = f"payload was coded in blocks of {block_size} values, this codec has block_size = {self.block_size}"
            raise CodecError(msg)
        scale_bits = np.frombuffer(body, "<u2", count=plan.num_blocks, offset=_BLOCK_SIZE.size)
        codes = np.frombuffer(body, np.int8, count=plan.num_values, offset=_BLOCK_SIZE.size + scale_bits.nbytes)
        values = dequantise(scale_bits, codes, block_size=self.block_size)
        arrays: dict[int, Array] = {}
        for i, start, stop in zip(plan.pooled, plan.starts[:-1], plan.starts[1:], strict=True):
            arrays[i] = _unpool(values[start:stop], state.layout[i].dtype).reshape(state.layout[i].shape)
        offset = plan.body_bytes - plan.literal_bytes
        for i in plan.literal:
            arrays[i] = from_buffer(i, body, offset, state.layout[i])
            offset += num_bytes(state.layout[i])
        return tuple(arrays[i] for i in range(len(arrays))), replace(state, counter=counter)

    def _residual(self, state: Int8State, plan: "_Plan") -> NDArray[np.float32]:
        arrived = state.pending_counter > 0 and state.acknowledged >= state.pending_counter
        residual = state.pending if arrived else state.residual
        if residual.size not in (0, plan.num_padded):
            msg = f"the residual in the state has {residual.size} values, its layout and block size {plan.num_padded}"
            raise CodecError(msg)
        return residual


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """Where the arrays of a layout go."""

    pooled: tuple[int, ...]  # places of the floating arrays
    starts: tuple[int, ...]  # where each begins in the pooled vector, and where the last ends
    literal: tuple[int, ...]  # places of the other arrays
    literal_bytes: int
    num_blocks: int
    num_values: int
    num_padded: int
    body_bytes: int


@lru_cache(maxsize=64)
def _plan(layout: Layout, block_size: int) -> _Plan:
    pooled = tuple(i for i, spec in enumerate(layout) if spec.dtype.startswith("float"))
    literal = tuple(i for i in range(len(layout)) if i not in set(pooled))
    starts = tuple(accumulate((layout[i].size for i in pooled), initial=0))
    literal_bytes = sum(num_bytes(layout[i]) for i in literal)
    num_blocks = -(-starts[-1] // block_size)
    return _Plan(
        pooled=pooled,
        starts=starts,
        literal=literal,
        literal_bytes=literal_bytes,
        num_blocks=num_blocks,
        num_values=starts[-1],
        num_padded=num_blocks * block_size,
        body_bytes=_BLOCK_SIZE.size + 2 * num_blocks + starts[-1] + literal_bytes,
    )


def _pool(arrays: Sequence[Array], plan: _Plan) -> NDArray[np.float32]:
    values = np.empty(plan.num_padded, np.float32)
    for i, start, stop in zip(plan.pooled, plan.starts[:-1], plan.starts[1:], strict=True):
        values[start:stop] = arrays[i].reshape(-1)
    values[plan.num_values :] = 0
    return values


def _unpool(values: NDArray[np.float32], dtype: str) -> Array:
    if dtype == "float32":
        return values
    if dtype == "float16":  # 127 times a rounded scale may lie beyond the largest float16
        values = np.clip(values, np.finfo(np.float16).min, np.finfo(np.float16).max)
    return values.astype(dtype)


def _fits_float32(array: Array) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float32)).all())
