r"""LQGCM: updates as 88-bit tuples on top of a prediction.

All floating arrays are pooled into one vector :math:`\delta` of :math:`G` blocks of 256 values, padded once.
Sender and receiver remember the last reconstruction :math:`h` that both have; the sender codes what it does
not predict with at most :math:`T` tuples:

.. math:: \gamma = \mathrm{clip}\bigl(\langle\delta, h\rangle / \langle h, h\rangle,\ 0,\ 1.5\bigr), \qquad
          \hat\delta = \gamma h + \sum_{t=1}^{T} \mathrm{tuple}_t(\delta - \gamma h), \qquad h \leftarrow \hat\delta

:math:`\gamma` is rounded to float16. Both sides compute :math:`\hat\delta` by the same function from the same
bytes, so they hold the same :math:`h` bit for bit. Arrays that are not floating (counters of a batch
normalisation, say) follow the tuples as they are. See ``lqgcm_frame`` for the header, ``lqgcm_tuples`` for a
tuple, ``lqgcm_pursuit`` for how tuples are chosen, and ``docs/lqgcm.md`` for what this keeps and changes of
its source.
"""

import math
import zlib
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal

import numpy as np

from eafl_flower.codecs.framing import layout_hash
from eafl_flower.codecs.histories import nothing, settled
from eafl_flower.codecs.literal import check_fit
from eafl_flower.codecs.lqgcm.codebook import Codebook
from eafl_flower.codecs.lqgcm.dither import Dithered
from eafl_flower.codecs.lqgcm.frame import MAX_TUPLES, MODES, Header, pack, unpack
from eafl_flower.codecs.lqgcm.prediction import LARGEST, LQGCMState, predicted_from, predictor_gain_of
from eafl_flower.codecs.lqgcm.pursuit import SignSparse
from eafl_flower.codecs.lqgcm.shapes import Shapes
from eafl_flower.codecs.lqgcm.tuples import BLOCK, PICKED, Atoms, Tuples, Vector
from eafl_flower.codecs.pooling import pool_of
from eafl_flower.core.settings import Positive, Range, check_settings
from eafl_flower.errors import CodecError
from eafl_flower.types import Arrays, Encoded, Layout

TUPLE_BITS: Final = 88
LEAST_TUPLES: Final = 18  # as many as the source sends of its smaller models
DOWNLINK_TUPLES_PER_BLOCK: Final = 11.0

_MOST_PER_BLOCK: Final = -(-BLOCK // PICKED)  # so many name each value once


@dataclass(frozen=True, kw_only=True)
class LQGCMSettings:
    """What ``LQGCMCodec`` is set to, but for its codebook."""

    tuples: Annotated[int, Range(0, MAX_TUPLES)] = 0
    tuples_per_block: Positive = 0.2
    prediction: bool = True
    downlink_tuples: Annotated[int, Range(0, MAX_TUPLES)] = 0
    mode: Literal["sign", "rvq", "literal", "dithered"] = "sign"

    @property
    def has_codebook(self) -> bool:
        """Whether the mode is one of those that need a codebook."""
        return self.mode in ("rvq", "literal")


@dataclass(frozen=True, kw_only=True)
class LQGCMCodec(LQGCMSettings):
    """Code small differences with 88-bit tuples (a difference codec: it never carries whole arrays).

    The caller sets ``counter`` and ``acknowledged`` before each ``encode``. ``acknowledged`` is the payload
    whose reconstruction the receiver holds for this stream:

    * it is ``pending_counter``: the pending reconstruction becomes the history;
    * it is ``reference``: the pending payload was lost, the history stays;
    * neither: the receiver forgot this stream, or knows another one; the history is dropped (reset), as is one
      that is damaged.

    A payload with counter 0 stands outside of any stream: it is coded without a prediction and remembered by
    nobody. A receiver refuses a payload that predicts from a reconstruction it does not hold.

    ``Encoded.error`` is the relative L2 error of the decoded floating arrays, ``bits_paper`` 88 times the
    tuples. Floating arrays must lie in the range of float32; float16 arrays are rounded once more when they
    are decoded, which the error does not include. Payloads are neither encrypted nor private.

    Parameters
    ----------
    tuples
        Tuples a payload; 0: ``tuples_per_block`` times the blocks, at least 18. A payload has fewer if nothing
        is left to code, and never more than 52 a block or 65,535.
    tuples_per_block
        Used if ``tuples`` is 0.
    prediction
        Whether to remember and predict.
    downlink_tuples
        Tuples of a payload of ``downlink``; 0: 11 a block, 12 % of a float32 model.
    mode
        What tuples stand for: "sign" (``lqgcm_pursuit``), "rvq" or "literal" (``lqgcm_shapes``, with a
        codebook) or "dithered" (``lqgcm_dither``, with a key from ``keyed``). The way down is "sign" always.
    codebook
        Of the modes that need one.
    session_key, client
        Of the dithered mode: 32 secret bytes that both sides have, and whose uploads they are; both are set by
        ``keyed_for`` where no key is given.

    Raises
    ------
    ConfigError
        If a number is out of range, or the codebook is not one for the mode.
    """

    codebook: Codebook | None = None
    session_key: bytes = field(default=b"", repr=False)
    client: int = 0

    def __post_init__(self) -> None:
        given = self.codebook.mode if self.codebook else "none"
        fits = given == (self.mode if self.has_codebook else "none")
        check_settings(self, mode="" if fits else f"the codebook is {given}; only rvq and literal have theirs")

    @property
    def downlink(self) -> "LQGCMCodec":
        """The codec of the way down: of the difference between the server's arrays and the client's."""
        return LQGCMCodec(tuples=self.downlink_tuples, tuples_per_block=DOWNLINK_TUPLES_PER_BLOCK, prediction=False)

    def keyed(self, session_key: bytes, client: int) -> "LQGCMCodec":
        """Return the codec of one client's uploads; in the dithered mode, which alone is secret, with this key.

        ``keyed_for`` calls it on both sides; a key that the codec has already stays.
        """
        if self.mode != "dithered":
            return self
        return replace(self, session_key=self.session_key or session_key, client=client)

    @property
    def needs_key(self) -> bool:
        """Whether it has to be given a session key."""
        return self.mode == "dithered" and not self.session_key

    def init(self, layout: Layout) -> LQGCMState:
        """Return the state of a stream of arrays with this layout.

        Raises
        ------
        CodecError
            If the layout cannot be coded.
        """
        layout_hash(layout)  # validates
        return LQGCMState(layout=layout)

    def num_tuples(self, layout: Layout) -> int:
        """Return the budget of tuples for a layout."""
        blocks = pool_of(layout, BLOCK).num_blocks
        wanted = self.tuples or max(LEAST_TUPLES, math.ceil(self.tuples_per_block * blocks))
        return min(wanted, _most_tuples(blocks))

    def encode(self, state: LQGCMState, arrays: Arrays, rng: np.random.Generator) -> tuple[Encoded, LQGCMState]:
        """Encode ``arrays``; draws nothing from ``rng``. The old state stays as it is.

        Raises
        ------
        CodecError
            If they do not fit the layout or are not finite.
        """
        pool = pool_of(state.layout, BLOCK)
        check_fit(arrays, state.layout)
        values = pool.gather(arrays)
        if not math.isfinite(_peak(values)):
            raise pool.refusal(arrays)
        remembers = self.prediction and state.counter > 0
        if remembers:
            state = settled(state, pool)
        history = state.history if remembers else nothing()  # empty as well if there is no reference
        predictor_gain = predictor_gain_of(values[: pool.num_values], history)
        predicted = predicted_from(history, predictor_gain, pool)
        with np.errstate(over="ignore"):
            residual = np.clip(values - predicted, -LARGEST, LARGEST)
        peak, atoms = _peak(residual), self._atoms(state.counter)
        scale = atoms.scale_for(peak) if peak else 1.0
        budget = self.num_tuples(state.layout)
        tuples = atoms.pursue(residual, num_values=pool.num_values, num_tuples=budget, scale=scale)
        decoded = _add(predicted, tuples, atoms, scale)
        payload = pack(
            Header(
                mode=MODES.index(self.mode),
                reference=state.reference if remembers else 0,
                counter=state.counter,
                layout_hash=self._hash(state.layout, history),
                scale=scale,
                predictor_gain=predictor_gain,
            ),
            tuples,
            pool.literals(arrays),
        )
        error = _relative_error(decoded[: pool.num_values], values[: pool.num_values])
        if remembers:
            state = replace(state, pending=decoded[: pool.num_values], pending_counter=state.counter)
        return Encoded(payload=payload, bits_paper=TUPLE_BITS * tuples.size, error=error), state

    def decode(self, state: LQGCMState, payload: bytes) -> tuple[Arrays, LQGCMState]:
        """Decode ``payload``; the returned state has its counter and remembers what was decoded.

        Raises
        ------
        CodecError
            If ``encode`` cannot have made it, or it predicts from something else than what the state remembers.
        """
        pool = pool_of(state.layout, BLOCK)
        header, tuples, literals = unpack(
            payload,
            mode=MODES.index(self.mode),
            layout_hash=self._hash(state.layout, nothing()),
            max_tuples=_most_tuples(pool.num_blocks),
            literal_bytes=pool.literal_bytes,
        )
        if header.reference and (header.reference != state.reference or state.history.size != pool.num_values):
            held = f"that of payload {state.reference}" if state.reference else "none"
            msg = (
                f"payload {header.counter} predicts from the reconstruction of payload {header.reference}, this side "
                f"holds {held}: acknowledge only what is held"
            )
            raise CodecError(msg)
        history = state.history if header.reference else nothing()
        if header.layout_hash != (expected := self._hash(state.layout, history)):
            msg = (
                f"payload {header.counter} predicts from another history than the reconstruction of payload "
                f"{header.reference} on this side, or is of another layout or codebook ({header.layout_hash:08x}, "
                f"expected {expected:08x}): acknowledge nothing, so that the sender starts afresh"
            )
            raise CodecError(msg)
        atoms = self._atoms(header.counter)
        decoded = _add(predicted_from(history, header.predictor_gain, pool), tuples, atoms, header.scale)
        arrays = pool.scatter(decoded, literals, 0)
        if self.prediction and header.counter:
            state = replace(state, history=decoded[: pool.num_values].copy(), reference=header.counter)
        return arrays, replace(state, counter=header.counter)

    def _atoms(self, counter: int) -> Atoms:
        if self.mode == "dithered":
            return Dithered(self.session_key, self.client, counter)
        return Shapes(self.codebook) if self.codebook else SignSparse()

    def _hash(self, layout: Layout, history: Vector) -> int:
        codebook = self.codebook.sha256.encode() if self.codebook else b""
        return zlib.crc32(np.ascontiguousarray(history, "<f4").data, zlib.crc32(codebook, layout_hash(layout)))


def _most_tuples(num_blocks: int) -> int:
    return min(_MOST_PER_BLOCK * num_blocks, MAX_TUPLES)


def _add(predicted: Vector, tuples: Tuples, atoms: Atoms, scale: float) -> Vector:
    """Add tuples to the prediction, in place; what overflows stays at the largest float32."""
    if tuples.size and int(tuples["block"].max()) * BLOCK >= predicted.size:
        msg = f"a tuple of the payload names block {tuples['block'].max()} of {predicted.size // BLOCK}"
        raise CodecError(msg)
    gains = tuples["gain"].astype(np.float64)
    if not ((gains > 0) & (gains < np.inf)).all():
        msg = "the gain of a tuple of the payload is not a positive number"
        raise CodecError(msg)
    with np.errstate(over="ignore"):
        atoms.add(predicted, tuples, gains * scale)
    return np.clip(predicted, -LARGEST, LARGEST, out=predicted)


def _peak(values: Vector) -> float:
    return max(float(values.max()), -float(values.min())) if values.size else 0.0


def _relative_error(decoded: Vector, values: Vector) -> float:
    wide = values.astype(np.float64)
    norm = float(np.einsum("i,i->", wide, wide))
    wide -= decoded
    return math.sqrt(float(np.einsum("i,i->", wide, wide)) / norm) if norm else 0.0
