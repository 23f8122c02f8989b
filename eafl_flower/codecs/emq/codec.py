"""EMQ: updates as mantissas of one exponent, entropy-coded.

All floating arrays are pooled into one vector. See ``emq.quantiser`` for the equations, ``emq.minifloat`` for two other
readings, ``emq.integers`` for how mantissas become bytes, and ``docs/emq.md`` for what is read, inferred and ours.
"""

import math
import struct
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

import numpy as np

from eafl_flower.codecs.emq.integers import decode_integers, encode_integers
from eafl_flower.codecs.emq.minifloat import (
    MOST_EXPONENT_BITS,
    MOST_MANTISSA_BITS,
    FloatGrid,
    quantise_fixed,
    quantise_float,
)
from eafl_flower.codecs.emq.quantiser import (
    MOST_DIGITS,
    Grid,
    Integers,
    UniformGrid,
    Vector,
    peak_of,
    quantise,
    squares,
)
from eafl_flower.codecs.emq.shape import tables_of
from eafl_flower.codecs.framing import EMQ_ID, frame, layout_hash, unframe
from eafl_flower.codecs.literal import check_fit
from eafl_flower.codecs.pooling import Pool, pool_of
from eafl_flower.core.settings import Positive, Range, check_settings
from eafl_flower.errors import CodecError
from eafl_flower.types import Arrays, Encoded, Layout

_VERSION: Final = 1
_GRID: Final = struct.Struct("<BhBB")
_NOTHING, _DECIMAL, _DECIMAL_TINY, _BINARY, _BINARY_TINY, _FLOAT, _FIXED = range(7)
_BASES: Final = {_DECIMAL: 10, _DECIMAL_TINY: 10, _BINARY: 2, _BINARY_TINY: 2}
_EXPONENTS: Final = {10: (-45, 38), 2: (-149, 127)}  # of float32


@dataclass(frozen=True, kw_only=True)
class EMQState:
    """A stream of arrays with one layout; nothing else is remembered."""

    layout: Layout
    counter: int = 0
    acknowledged: int = 0


@dataclass(frozen=True, kw_only=True)
class EMQCodec:
    """Code updates as mantissas of a shared exponent (a difference codec: it never carries whole arrays).

    ``Encoded.bits_paper`` is the count of the source, which cannot be decoded; what is charged are the bytes of the
    payload. ``Encoded.error`` is the relative L2 error of the decoded floating arrays. Those must lie in the range of
    float32; float16 arrays are rounded once more when they are decoded, which the error does not include. Nothing is
    remembered, and nothing drawn: what a payload leaves out is lost.

    Parameters
    ----------
    variant
        "auto": base 10; "literal": base 10, no extra digits, zeros as a thousandth of a quantum, as the code of the
        source does; "binary": base 2; "float" and "fixed": see ``emq.minifloat``.
    choose_digits
        Whether "auto" and "binary" have as few extra digits as keep ``squared_error``.
    digits
        How many extra digits they have else: up to 6 of "auto", up to 21 of "binary".
    squared_error
        Largest squared error relative to the squared norm, where digits or mantissas are chosen.
    zero_mode
        "tiny": zeros stand for a thousandth of a quantum, which biases sums.
    scope
        "layer": an exponent for each array; "model": one for all.
    downlink_squared_error
        The same on the way down, where the difference to what a client holds is coded with base 10.

    Raises
    ------
    ConfigError
        If a setting is out of range, or means nothing for the variant.
    """

    variant: Literal["auto", "literal", "binary", "float", "fixed"] = "auto"
    choose_digits: bool = True
    digits: Annotated[int, Range(0, MOST_DIGITS[2])] = 0
    squared_error: Positive = 0.01
    zero_mode: Literal["zero", "tiny"] = "zero"
    scope: Literal["model", "layer"] = "model"
    downlink_squared_error: Positive = 1e-4

    def __post_init__(self) -> None:
        most = {"auto": MOST_DIGITS[10], "binary": MOST_DIGITS[2]}.get(self.variant, 0)
        digits = (
            f'variant = "{self.variant}" has at most {most}' if most else f'variant = "{self.variant}" has none to set'
        )
        if self.choose_digits and 0 < self.digits <= most:
            digits, most = "they are chosen for the error; set choose_digits to false", 0
        tiny = f'variant = "{self.variant}" has its own zeros'
        has_own = self.zero_mode == "tiny" and self.variant in ("float", "fixed")
        check_settings(self, digits=digits if self.digits > most else "", zero_mode=tiny if has_own else "")

    @property
    def downlink(self) -> "EMQCodec":
        """The codec of the way down: of the difference between the server's arrays and the client's."""
        return EMQCodec(squared_error=self.downlink_squared_error)

    def init(self, layout: Layout) -> EMQState:
        """Return the state of a stream of arrays with this layout.

        Raises
        ------
        CodecError
            If the layout cannot be coded.
        """
        layout_hash(layout)  # validates
        return EMQState(layout=layout)

    def encode(self, state: EMQState, arrays: Arrays, rng: np.random.Generator) -> tuple[Encoded, EMQState]:
        """Encode ``arrays``; draws nothing from ``rng``.

        Raises
        ------
        CodecError
            If they do not fit the layout or are not finite.
        """
        pool = pool_of(state.layout, 1)
        check_fit(arrays, state.layout)
        values = pool.gather(arrays)
        parts = self._parts(pool)
        peaks = [peak_of(values[part]) for part in parts]
        if not np.isfinite(peaks).all():
            raise pool.refusal(arrays)
        found, heads, bits, error = [], [], 0, 0.0
        for part, peak in zip(parts, peaks, strict=True):
            its, grid = self._quantise(values[part]) if peak else (np.zeros(part.stop - part.start, np.int32), None)
            found.append(its)
            heads.append(_write_grid(grid))
            bits += grid.bits(its) if grid else 1
            error += grid.squared_error(its, values[part]) if grid else 0.0
        integers = found[0] if len(found) == 1 else np.concatenate([np.zeros(0, np.int32), *found])
        coded = encode_integers(integers, tables_of(state.layout)) if any(peaks) else b""
        payload = frame(
            [*heads, *pool.literals(arrays), coded],
            codec_id=EMQ_ID,
            codec_version=_VERSION,
            layout=state.layout,
            counter=state.counter,
        )
        norm = squares(values)
        error = math.sqrt(error / norm) if norm else 0.0
        return Encoded(payload=payload, bits_paper=bits, error=error), state

    def decode(self, state: EMQState, payload: bytes) -> tuple[Arrays, EMQState]:
        """Decode ``payload``, whatever the settings it was coded with but the scope; the state has its counter.

        Raises
        ------
        CodecError
            If ``encode`` cannot have made it.
        """
        pool = pool_of(state.layout, 1)
        counter, body = unframe(payload, codec_id=EMQ_ID, codec_version=_VERSION, layout=state.layout)
        parts = self._parts(pool)
        in_front = _GRID.size * len(parts) + pool.literal_bytes
        if len(body) < in_front:
            msg = f"the body of the payload is {len(body)} bytes, what precedes its values takes {in_front}"
            raise CodecError(msg)
        grids = [_read_grid(*_GRID.unpack_from(body, _GRID.size * i)) for i in range(len(parts))]
        if len(body) > in_front:
            integers = decode_integers(body[in_front:], tables_of(state.layout), pool.num_values)
        else:
            integers = np.zeros(pool.num_values, np.int32)
        values = np.zeros(pool.num_values, np.float32)
        for part, grid in zip(parts, grids, strict=True):
            if grid is not None:
                values[part] = grid.values(integers[part])
            elif integers[part].any():
                msg = "a part of the payload that is all zero has values"
                raise CodecError(msg)
        return pool.scatter(values, body, _GRID.size * len(parts)), replace(state, counter=counter)

    def _parts(self, pool: Pool) -> list[slice]:
        """Return the parts of the vector that have an exponent each."""
        if self.scope == "model":
            return [slice(0, pool.num_values)]
        return [slice(a, b) for a, b in zip(pool.starts[:-1], pool.starts[1:], strict=True)]

    def _quantise(self, values: Vector) -> tuple[Integers, Grid]:
        if self.variant == "float":
            return quantise_float(values, squared_error=self.squared_error)
        if self.variant == "fixed":
            return quantise_fixed(values)
        literal = self.variant == "literal"
        return quantise(
            values,
            base=2 if self.variant == "binary" else 10,
            digits=0 if literal else None if self.choose_digits else self.digits,
            squared_error=self.squared_error,
            tiny=literal or self.zero_mode == "tiny",
        )


def _write_grid(grid: Grid | None) -> bytes:
    if grid is None:
        return _GRID.pack(_NOTHING, 0, 0, 0)
    if isinstance(grid, UniformGrid):
        kind = (_DECIMAL if grid.base == 10 else _BINARY) + grid.tiny
        return _GRID.pack(kind, grid.exponent, grid.digits, 0)
    if isinstance(grid, FloatGrid):
        return _GRID.pack(_FIXED if grid.fixed else _FLOAT, grid.exponent, grid.mantissa_bits, grid.exponent_bits)
    raise TypeError(grid)


def _read_grid(kind: int, exponent: int, digits: int, exponent_bits: int) -> Grid | None:
    base = _BASES.get(kind, 2)
    low, high = _EXPONENTS[base]
    if kind == _NOTHING and not exponent | digits | exponent_bits:
        return None
    if kind in _BASES and low <= exponent <= high and digits <= MOST_DIGITS[base] and not exponent_bits:
        return UniformGrid(base=base, exponent=exponent, digits=digits, tiny=kind in (_DECIMAL_TINY, _BINARY_TINY))
    fits = digits <= MOST_MANTISSA_BITS and 1 <= exponent_bits <= MOST_EXPONENT_BITS
    if kind in (_FLOAT, _FIXED) and low <= exponent <= high and fits:
        return FloatGrid(exponent=exponent, exponent_bits=exponent_bits, mantissa_bits=digits, fixed=kind == _FIXED)
    msg = f"the payload names grid {kind} with exponent {exponent}, digits {digits} and {exponent_bits} exponent bits"
    raise CodecError(msg)
