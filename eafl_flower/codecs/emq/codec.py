"""EMQ: updates as mantissas of one exponent, entropy-coded.

All floating arrays are pooled into one vector. See ``emq.quantiser`` for the equations, ``emq.minifloat`` for two other
readings, ``emq.integers`` for how mantissas become bytes, and ``docs/emq.md`` for what is read, inferred and ours.
"""

import math
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

import numpy as np

from eafl_flower.codecs.emq.integers import decoded_integers, encode_integers
from eafl_flower.codecs.emq.minifloat import (
    MOST_EXPONENT_BITS,
    MOST_MANTISSA_BITS,
    FloatGrid,
    fixed_grid,
    float_grid,
)
from eafl_flower.codecs.emq.quantiser import (
    MOST_DIGITS,
    Grid,
    Integers,
    UniformGrid,
    Vector,
    ZeroGrid,
    norms_of,
    uniform_grid,
)
from eafl_flower.codecs.emq.shape import tables_of
from eafl_flower.codecs.framing import EMQ_ID, frame, layout_hash, unframe
from eafl_flower.codecs.literal import check_fit
from eafl_flower.codecs.pooling import Pool, pool_of
from eafl_flower.codecs.stream_state import StreamState
from eafl_flower.core.settings import Positive, Range, check_settings
from eafl_flower.errors import CodecError
from eafl_flower.types import Arrays, Encoded, Layout

_VERSION: Final = 2
_GRID: Final = struct.Struct("<BhBB")
_NOTHING, _DECIMAL, _DECIMAL_TINY, _BINARY, _BINARY_TINY, _FLOAT, _FIXED = range(7)
_BASES: Final = {_DECIMAL: 10, _DECIMAL_TINY: 10, _BINARY: 2, _BINARY_TINY: 2}
_EXPONENTS: Final = {10: (-45, 38), 2: (-149, 127)}  # of float32


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

    @property
    def codes_messages(self) -> bool:
        """Messages are coded as updates are: a payload stands for itself."""
        return True

    def init(self, layout: Layout) -> StreamState:
        """Return the state of a stream of arrays with this layout.

        Raises
        ------
        CodecError
            If the layout cannot be coded.
        """
        layout_hash(layout)  # validates
        return StreamState(layout=layout)

    def encode(self, state: StreamState, arrays: Arrays, rng: np.random.Generator) -> tuple[Encoded, StreamState]:
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
        norms = [norms_of(values[part]) for part in parts]
        if not all(math.isfinite(squared) for _, squared in norms):
            raise pool.refusal(arrays)
        grids = [self._grid(values[p]) if largest else ZeroGrid() for p, (largest, _) in zip(parts, norms, strict=True)]
        coded, error, bits = b"", 0.0, 0
        if any(largest for largest, _ in norms):
            coded, error, bits = encode_integers(
                values, tables_of(state.layout), lambda place, x, integers: _round(x, place, integers, parts, grids)
            )
        payload = frame(
            [*map(_write_grid, grids), *pool.literals(arrays), coded],
            codec_id=EMQ_ID,
            codec_version=_VERSION,
            layout=state.layout,
            counter=state.counter,
        )
        norm = math.fsum(squared for _, squared in norms)
        bits += sum(grid.head_bits for grid in grids)
        return Encoded(payload=payload, bits_paper=bits, error=math.sqrt(error / norm) if norm else 0.0), state

    def decode(self, state: StreamState, payload: bytes) -> tuple[Arrays, StreamState]:
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
        values = np.empty(pool.num_values, np.float32)
        if len(body) > in_front:
            for place, block in decoded_integers(body[in_front:], tables_of(state.layout), pool.num_values):
                _fill(values, place, block, parts, grids)
        else:
            _fill(values, 0, np.zeros(pool.num_values, np.int32), parts, grids)
        return pool.scatter(values, body, _GRID.size * len(parts)), replace(state, counter=counter)

    def _parts(self, pool: Pool) -> list[slice]:
        """Return the parts of the vector that have an exponent each."""
        if self.scope == "model":
            return [slice(0, pool.num_values)]
        return [slice(a, b) for a, b in zip(pool.starts[:-1], pool.starts[1:], strict=True)]

    def _grid(self, values: Vector) -> Grid:
        if self.variant == "float":
            return float_grid(values, squared_error=self.squared_error)
        if self.variant == "fixed":
            return fixed_grid(values)
        literal = self.variant == "literal"
        return uniform_grid(
            values,
            base=2 if self.variant == "binary" else 10,
            digits=0 if literal else None if self.choose_digits else self.digits,
            squared_error=self.squared_error,
            tiny=literal or self.zero_mode == "tiny",
        )


def _round(x: Vector, place: int, integers: Integers, parts: list[slice], grids: list[Grid]) -> tuple[float, int]:
    """Fill the integers of a vector's values from ``place`` on, each by the grid of its part; see ``Grid.round``."""
    error, bits = 0.0, 0
    for grid, its in _pieces(place, x.size, parts, grids):
        missed, counted = grid.round(x[its], integers[its])
        error, bits = error + missed, bits + counted
    return error, bits


def _fill(values: Vector, place: int, integers: Integers, parts: list[slice], grids: list[Grid]) -> None:
    """Fill what integers from ``place`` on stand for, each by the grid of its part."""
    out = values[place : place + integers.size]
    for grid, its in _pieces(place, integers.size, parts, grids):
        grid.fill(integers[its], out[its])


def _pieces(place: int, size: int, parts: list[slice], grids: list[Grid]) -> Iterator[tuple[Grid, slice]]:
    """Yield the grids of ``size`` values from ``place`` on, each with which of these are its own."""
    for i in range(bisect_right(parts, place, key=lambda part: int(part.stop)), len(parts)):
        first, last = max(parts[i].start - place, 0), min(parts[i].stop - place, size)
        if first >= size:
            return
        yield grids[i], slice(first, last)


def _write_grid(grid: Grid) -> bytes:
    if isinstance(grid, ZeroGrid):
        return _GRID.pack(_NOTHING, 0, 0, 0)
    if isinstance(grid, UniformGrid):
        kind = (_DECIMAL if grid.base == 10 else _BINARY) + grid.tiny
        return _GRID.pack(kind, grid.exponent, grid.digits, 0)
    if isinstance(grid, FloatGrid):
        return _GRID.pack(_FIXED if grid.fixed else _FLOAT, grid.exponent, grid.mantissa_bits, grid.exponent_bits)
    raise TypeError(grid)


def _read_grid(kind: int, exponent: int, digits: int, exponent_bits: int) -> Grid:
    base = _BASES.get(kind, 2)
    low, high = _EXPONENTS[base]
    if kind == _NOTHING and not exponent | digits | exponent_bits:
        return ZeroGrid()
    if kind in _BASES and low <= exponent <= high and digits <= MOST_DIGITS[base] and not exponent_bits:
        return UniformGrid(base=base, exponent=exponent, digits=digits, tiny=kind in (_DECIMAL_TINY, _BINARY_TINY))
    fits = digits <= MOST_MANTISSA_BITS and 1 <= exponent_bits <= MOST_EXPONENT_BITS
    if kind in (_FLOAT, _FIXED) and low <= exponent <= high and fits:
        return FloatGrid(exponent=exponent, exponent_bits=exponent_bits, mantissa_bits=digits, fixed=kind == _FIXED)
    msg = f"the payload names grid {kind} with exponent {exponent}, digits {digits} and {exponent_bits} exponent bits"
    raise CodecError(msg)
