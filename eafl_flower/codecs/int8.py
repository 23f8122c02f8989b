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
from dataclasses import dataclass, field, replace
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.block_scales import dequantise, quantise
from eafl_flower.codecs.framing import INT8_ID, frame, layout_hash, unframe
from eafl_flower.codecs.literal import check_fit
from eafl_flower.codecs.pooling import Pool, pool_of
from eafl_flower.core.settings import Range, check_settings
from eafl_flower.errors import CodecError
from eafl_flower.types import Arrays, Encoded, Layout

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

    block_size: Annotated[int, Range(1, 65535)] = 256
    error_feedback: bool = True

    def __post_init__(self) -> None:
        check_settings(self)

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
        pool = pool_of(state.layout, self.block_size)
        check_fit(arrays, state.layout)
        remembers = self.error_feedback and state.counter > 0
        residual = self._residual(state, pool) if remembers else _nothing()
        kept = np.empty(pool.num_padded, np.float32) if remembers else _nothing()
        values = pool.gather(arrays)
        with np.errstate(over="ignore", invalid="ignore"):
            quantised = quantise(values, residual, kept, block_size=self.block_size)
        if quantised is None:
            raise pool.refusal(arrays)
        scale_bits, codes, error = quantised
        payload = frame(
            [
                _BLOCK_SIZE.pack(self.block_size),
                scale_bits.data,
                codes[: pool.num_values].data,
                *pool.literals(arrays),
            ],
            codec_id=INT8_ID,
            codec_version=_VERSION,
            layout=state.layout,
            counter=state.counter,
        )
        encoded = Encoded(payload=payload, bits_paper=8 * _body_bytes(pool), error=error)
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
        pool = pool_of(state.layout, self.block_size)
        counter, body = unframe(
            payload, codec_id=INT8_ID, codec_version=_VERSION, layout=state.layout, body_bytes=_body_bytes(pool)
        )
        (block_size,) = _BLOCK_SIZE.unpack_from(body)
        if block_size != self.block_size:
            msg = f"payload was coded in blocks of {block_size} values, this codec has block_size = {self.block_size}"
            raise CodecError(msg)
        scale_bits = np.frombuffer(body, "<u2", count=pool.num_blocks, offset=_BLOCK_SIZE.size)
        codes = np.frombuffer(body, np.int8, count=pool.num_values, offset=_BLOCK_SIZE.size + scale_bits.nbytes)
        values = dequantise(scale_bits, codes, block_size=self.block_size)
        arrays = pool.scatter(values, body, len(body) - pool.literal_bytes)
        return arrays, replace(state, counter=counter)

    def _residual(self, state: Int8State, pool: Pool) -> NDArray[np.float32]:
        arrived = state.pending_counter > 0 and state.acknowledged >= state.pending_counter
        residual = state.pending if arrived else state.residual
        if residual.size not in (0, pool.num_padded):
            msg = f"the residual in the state has {residual.size} values, its layout and block size {pool.num_padded}"
            raise CodecError(msg)
        return residual


def _body_bytes(pool: Pool) -> int:
    return _BLOCK_SIZE.size + 2 * pool.num_blocks + pool.num_values + pool.literal_bytes
