"""LAQ and AQUILA: a few bits a value on top of the last vector that both sides hold.

All floating arrays are pooled into one vector. Sender and receiver remember the last reconstruction :math:`q'` of one
client that both have; see ``laq.quantiser`` for the equations. The vector holds the weights that the client trained, as
in the code of EMQ's authors, or its update. Both are codecs for differences, whose way down is float32, as the
source counts none.

The body of a payload, little-endian: reference u32 (the payload whose reconstruction it builds on, 0: none), CRC-32 of
that reconstruction u32, R f32, bits u8 (128 more if these are weights), the integers in as few bits as hold their
number (``bits`` with the canonical rounding, one more with the authors'), lowest bit first, and the other arrays as
they are. Without an innovation (R = 0) there are no integers.
"""

import math
import struct
import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.bit_packing import num_packed, pack, unpack
from eafl_flower.codecs.float32 import Float32Codec
from eafl_flower.codecs.framing import AQUILA_ID, LAQ_ID, frame, layout_hash, unframe
from eafl_flower.codecs.histories import HistoryState, Vector, nothing, settled
from eafl_flower.codecs.laq.quantiser import MAX_BITS, Levels, aquila_bits, innovation_of, range_of
from eafl_flower.codecs.literal import check_fit
from eafl_flower.codecs.pooling import Pool, pool_of
from eafl_flower.core.settings import Range, check_settings
from eafl_flower.errors import CodecError
from eafl_flower.types import Arrays, Encoded, Layout

_VERSION: Final = 1
_HEAD: Final = struct.Struct("<IIfB")
_WEIGHTS: Final = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class LAQState(HistoryState):
    """A stream of arrays with one layout, and the quantised vector that both sides hold."""


@dataclass(frozen=True, kw_only=True)
class _InnovationCodec(ABC):
    """What LAQ and AQUILA have in common: all but the number of bits."""

    target: Literal["weights", "update"] = "weights"
    rounding: Literal["canonical", "authors"] = "canonical"

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    @abstractmethod
    def _id(self) -> int:
        """Number of the codec in its frames."""

    @abstractmethod
    def _bits(self, innovation: NDArray[np.float64]) -> int:
        """Return how many bits a value of an innovation gets."""

    @property
    def codes_weights(self) -> bool:
        """Whether uploads hold the weights that a client has trained."""
        return self.target == "weights"

    @property
    def downlink(self) -> Float32Codec:
        """The codec of the way down, on which nothing is saved."""
        return Float32Codec()

    def init(self, layout: Layout) -> LAQState:
        """Return the state of a stream of arrays with this layout.

        Raises
        ------
        CodecError
            If the layout cannot be coded.
        """
        layout_hash(layout)  # validates
        return LAQState(layout=layout)

    def encode(self, state: LAQState, arrays: Arrays, rng: np.random.Generator) -> tuple[Encoded, LAQState]:
        """Encode ``arrays``; draws nothing from ``rng``. The old state stays as it is.

        Raises
        ------
        CodecError
            If they do not fit the layout or are not finite.
        """
        pool = pool_of(state.layout, 1)
        check_fit(arrays, state.layout)
        values = pool.gather(arrays)
        if not np.isfinite(values).all():
            raise pool.refusal(arrays)
        if remembers := state.counter > 0:
            state = settled(state, pool)
        previous = state.history if remembers else nothing()  # empty as well if there is no reference
        innovation = innovation_of(values, previous)
        levels = Levels(bits=self._bits(innovation), range=range_of(innovation), rounding=self.rounding)
        integers = levels.integers(innovation) if levels.range else np.zeros(0, np.int32)
        decoded = _decoded(levels, integers, previous, pool)
        packed = pack((integers - levels.lowest).astype(np.uint32), _width(levels))
        head = _HEAD.pack(state.reference if remembers else 0, _crc(previous), levels.range, levels.bits | self._flag)
        payload = frame(
            [head, packed.data, *pool.literals(arrays)],
            codec_id=self._id,
            codec_version=_VERSION,
            layout=state.layout,
            counter=state.counter,
        )
        encoded = Encoded(
            payload=payload,
            bits_paper=levels.bits * pool.num_values + 32,
            error=_relative_error(_delivered(decoded, pool), values),
        )
        if remembers:
            state = replace(state, pending=decoded, pending_counter=state.counter)
        return encoded, state

    def decode(self, state: LAQState, payload: bytes) -> tuple[Arrays, LAQState]:
        """Decode ``payload``; the returned state has its counter and remembers what was decoded.

        Raises
        ------
        CodecError
            If ``encode`` cannot have made it, or it builds on something else than what the state remembers.
        """
        pool = pool_of(state.layout, 1)
        counter, body = unframe(payload, codec_id=self._id, codec_version=_VERSION, layout=state.layout)
        if len(body) < _HEAD.size:
            msg = f"the body of the payload is {len(body)} bytes, its head takes {_HEAD.size}"
            raise CodecError(msg)
        reference, crc, largest, flagged = _HEAD.unpack_from(body)
        bits = flagged & ~_WEIGHTS
        if flagged & _WEIGHTS != self._flag:
            other = "weights" if flagged & _WEIGHTS else "an update"
            msg = f"the payload holds {other}, this side has target = {self.target!r}: both need the same"
            raise CodecError(msg)
        if not (0 <= largest < math.inf and 1 <= bits <= MAX_BITS):
            msg = f"the payload has {bits} bits a value in the range {largest}: expected 1 to {MAX_BITS}, and a number"
            raise CodecError(msg)
        levels = Levels(bits=bits, range=largest, rounding=self.rounding)
        num_integers = pool.num_values if largest else 0
        size = _HEAD.size + num_packed(num_integers, _width(levels)) + pool.literal_bytes
        if len(body) != size:
            msg = f"the body of the payload is {len(body)} bytes, its layout and {bits} bits a value need {size}"
            raise CodecError(msg)
        previous = self._previous(state, reference, crc, pool)
        codes = unpack(np.frombuffer(body, np.uint8)[_HEAD.size :], num_integers, _width(levels))
        if codes.size and int(codes.max()) >= levels.count:
            msg = f"an integer of the payload is {codes.max()}: expected less than {levels.count}"
            raise CodecError(msg)
        decoded = _decoded(levels, codes.astype(np.int32) + np.int32(levels.lowest), previous, pool)
        arrays = pool.scatter(decoded.copy(), body, len(body) - pool.literal_bytes)
        if counter:
            state = replace(state, history=decoded, reference=counter)
        return arrays, replace(state, counter=counter)

    @property
    def _flag(self) -> int:
        return _WEIGHTS if self.codes_weights else 0

    def _previous(self, state: LAQState, reference: int, crc: int, pool: Pool) -> Vector:
        if reference and (reference != state.reference or state.history.size != pool.num_values):
            held = f"that of payload {state.reference}" if state.reference else "none"
            msg = (
                f"the payload builds on the reconstruction of payload {reference}, this side holds {held}: acknowledge "
                "only what is held"
            )
            raise CodecError(msg)
        previous = state.history if reference else nothing()
        if crc != _crc(previous):
            msg = (
                f"the payload builds on another reconstruction of payload {reference} than the one on this side: "
                "acknowledge nothing, so that the sender starts afresh"
            )
            raise CodecError(msg)
        return previous


@dataclass(frozen=True, kw_only=True)
class LAQCodec(_InnovationCodec):
    """Code weights or updates by LAQ's quantiser with a fixed number of bits (a difference codec).

    ``Encoded.bits_paper`` is b d + 32. As in the authors' runs everybody sends; ``laq.skipping`` has the rule by which
    a client need not.

    Parameters
    ----------
    bits
        b, 1 to 16.
    target
        What is coded: "weights" (as the authors of EMQ run it), or "update".
    rounding
        "canonical", or "authors" for theirs; see ``laq.quantiser``.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    bits: Annotated[int, Range(1, MAX_BITS)] = 10

    @property
    def _id(self) -> int:
        return LAQ_ID

    def _bits(self, innovation: NDArray[np.float64]) -> int:
        return self.bits


@dataclass(frozen=True, kw_only=True)
class AQUILACodec(_InnovationCodec):
    """Code weights or updates by LAQ's quantiser with as many bits as AQUILA's rule says (a difference codec).

    Parameters
    ----------
    target
        What is coded: "weights" (as the authors of EMQ run it), or "update".
    rounding
        "authors", or "canonical"; see ``laq.quantiser``. The canonical one has no zero, and with as few bits as the
        rule gives a model hardly learns from it.

    Raises
    ------
    ConfigError
        If a setting is none of these.
    """

    rounding: Literal["canonical", "authors"] = "authors"

    @property
    def _id(self) -> int:
        return AQUILA_ID

    def _bits(self, innovation: NDArray[np.float64]) -> int:
        return aquila_bits(innovation, self.rounding)


def _width(levels: Levels) -> int:
    return (levels.count - 1).bit_length()


def _decoded(levels: Levels, integers: NDArray[np.int32], previous: Vector, pool: Pool) -> Vector:
    if levels.range:
        return levels.values(integers, previous)
    return previous if previous.size else np.zeros(pool.num_values, np.float32)


def _delivered(decoded: Vector, pool: Pool) -> Vector:
    """Return what a receiver gets: float16 arrays are rounded once more, which counts where zeros become sizes."""
    halves = [pool.layout[i].dtype == "float16" for i in pool.pooled]
    if any(halves):
        decoded, largest = decoded.copy(), np.finfo(np.float16).max
        for is_half, start, stop in zip(halves, pool.starts[:-1], pool.starts[1:], strict=True):
            if is_half:
                decoded[start:stop] = np.clip(decoded[start:stop], -largest, largest).astype(np.float16)
    return decoded


def _crc(history: Vector) -> int:
    return zlib.crc32(np.ascontiguousarray(history, "<f4").data)


def _relative_error(decoded: Vector, values: Vector) -> float:
    wide = values.astype(np.float64)
    norm = float(np.einsum("i,i->", wide, wide))
    wide -= decoded
    return math.sqrt(float(np.einsum("i,i->", wide, wide)) / norm) if norm else 0.0
