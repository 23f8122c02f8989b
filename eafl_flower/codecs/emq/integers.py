r"""Integers of tables as bytes: prediction, contexts, entropy code.

Much of an update of a large model is one row seen many times: words that a batch lacks move along one direction. A
table may thus have a *prototype*, weights :math:`w_j` in 2**-14 whose largest is 1, and each row a coefficient
:math:`k_i`; what is coded is

.. math:: d_{ij} = m_{ij} - \bigl\lfloor (k_i w_j + 2^{13}) / 2^{14} \bigr\rfloor

A row has a class, twice the binary logarithm of its mean of :math:`|d|`, and its high classes have low bits that follow
raw. The rest, within -31 to 31, is a symbol of its own; beyond, a symbol tells sign and number of bits, and the bits
follow. The context of a symbol is the class of its row plus that of its column, where a table has those. Classes and
coefficients travel in front, so that a decoder knows every context before it begins.

Nothing of this changes an integer. ``docs/emq.md`` has the bytes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.emq.shape import FLAT_COLUMNS, Table
from eafl_flower.codecs.emq.streams import Bytes, Integers, Reader, Writer, row_loops
from eafl_flower.errors import CodecError

Vector = NDArray[np.float32]
Rounding = Callable[[int, Vector, Integers], tuple[float, int]]

_PREDICTED, _CLASSED = 1, 2
_CLASSES: Final = 64
_STEP_CLASS: Final = 24
_SAMPLED_ROWS: Final = 256
_ITERATIONS: Final = 5
_BLOCK: Final = 2**17  # values that are worked on while they are in a cache
_FLAT: Final = np.zeros(FLAT_COLUMNS, np.int8)
_NO_WEIGHTS: Final = np.zeros(1, np.int16)


@dataclass(frozen=True)
class _Columns:
    """What a table needs of its columns: the weights of a prototype, and classes; zeros where there are none."""

    weights: NDArray[np.int16]
    classes: NDArray[np.int8]

    @property
    def norm(self) -> float:
        """Squared norm of the weights over 2**14, 0 without a prototype."""
        return float(np.sum(self.weights.astype(np.float64) ** 2)) / 2**14


def encode_integers(x: Vector, tables: Sequence[Table], round_to: Rounding) -> tuple[bytes, float, int]:
    """Return the integers of a vector `(n,)` as bytes, and what ``round_to`` has told of its blocks, added up.

    Parameters
    ----------
    x
        The vector; ``tables`` cover it in order, without gaps.
    round_to
        Gets where in the vector a piece lies, the piece and room for its integers, below 2**26 in magnitude. Rows of
        one table may be asked for more than once, by the place of the table.
    """
    writer, parts, error, bits = Writer(x.size), [], 0.0, 0
    rows, predicted = [np.zeros(0, np.uint8)], [np.zeros(0, np.int32)]
    for table in tables:
        its = x[table.start : table.stop]
        columns = _columns_of(its, table, round_to)
        classes, coefficients = np.empty(table.rows, np.uint8), np.empty(table.rows, np.int32)
        for block, part in _blocks(table):
            integers, rests = np.empty((2, part.stop - part.start), np.int32)
            missed, counted = round_to(table.start + part.start, its[part], integers)
            error, bits = error + missed, bits + counted
            row_loops().settle(
                integers, table.columns, columns.weights, columns.norm, rests, coefficients[block], classes[block]
            )
            writer.take(rests, classes[block], columns.classes)
        parts.append(_columns_to_bytes(columns, table))
        rows.append(classes)
        if columns.weights.any():
            predicted.append(coefficients)
    side = _side_to_bytes(np.concatenate(rows), np.concatenate(predicted))
    return b"".join([*parts, side, writer.to_bytes()]), error, bits


def decoded_integers(body: memoryview, tables: Sequence[Table], size: int) -> Iterator[tuple[int, Integers]]:
    """Yield the ``size`` integers in ``body`` in blocks, each with its place, good until the next one.

    They are right only if the last one has been followed by the end.

    Raises
    ------
    CodecError
        If ``encode_integers`` cannot have made it.
    """
    offset, columns = 0, []
    for table in tables:
        read, offset = _columns_from_bytes(body, offset, table)
        columns.append(read)
    num_predicted = sum(t.rows for t, c in zip(tables, columns, strict=True) if c.weights.any())
    rows, predicted, offset = _side_from_bytes(body, offset, sum(table.rows for table in tables), num_predicted)
    reader = Reader(body, offset, size)
    if reader.end != len(body):
        msg = f"the payload has {len(body)} bytes, its values end at {reader.end}"
        raise CodecError(msg)
    room = max((part.stop - part.start for table in tables for _, part in _blocks(table)), default=0)
    symbols, values = np.empty(room, np.int8), np.empty(room, np.int32)
    first, first_predicted = 0, 0
    for table, its in zip(tables, columns, strict=True):
        classes, first = rows[first : first + table.rows], first + table.rows
        coefficients = np.zeros(table.rows, np.int32)
        if its.weights.any():
            coefficients = predicted[first_predicted : first_predicted + table.rows]
            first_predicted += table.rows
        for block, part in _blocks(table):
            count = part.stop - part.start
            reader.read(classes[block], its.classes, its.weights, coefficients[block], symbols[:count], values[:count])
            yield table.start + part.start, values[:count]
    reader.finish()


def decode_integers(body: memoryview, tables: Sequence[Table], size: int) -> Integers:
    """Return the ``size`` integers in ``body``; raises ``CodecError`` if ``encode_integers`` cannot have made it."""
    values = np.empty(size, np.int32)
    for place, block in decoded_integers(body, tables, size):
        values[place : place + block.size] = block
    return values


def _blocks(table: Table) -> Iterator[tuple[slice, slice]]:
    """Yield rows of a table by the block, and the places of their values."""
    size, rows = table.stop - table.start, max(1, _BLOCK // table.columns)
    for first in range(0, table.rows, rows):
        last = min(first + rows, table.rows)
        yield slice(first, last), slice(first * table.columns, min(last * table.columns, size))


# The columns of a table.


def _columns_of(x: Vector, table: Table, round_to: Rounding) -> _Columns:
    """Return prototype and classes of the columns, as far as they are worth their bytes in a sample of the rows."""
    nothing = _Columns(np.zeros(table.columns, np.int16), np.zeros(table.columns, np.int8))
    if not table.is_matrix:
        return nothing
    every = -(-table.rows // _SAMPLED_ROWS)
    floats = np.ascontiguousarray(x.reshape(-1, table.columns)[::every])
    sample = np.empty(floats.shape, np.int32)
    round_to(table.start, floats.reshape(-1), sample.reshape(-1))
    found = _Columns(np.zeros(table.columns, np.int16), nothing.classes)
    if not row_loops().prototype(sample, found.weights, _ITERATIONS):
        return nothing
    rests, coefficients, classes = (
        np.empty_like(sample),
        np.empty(len(sample), np.int32),
        np.empty(len(sample), np.uint8),
    )
    settled = rests.reshape(-1), coefficients, classes
    saved = row_loops().settle(sample.reshape(-1), table.columns, found.weights, found.norm, *settled)
    if saved * every <= 16 * table.columns:
        found, rests = nothing, sample
    sums = np.zeros(table.columns)
    smaller = row_loops().column_sums(rests.reshape(-1), table.columns, sums) * every
    if not sums.any():
        return found
    doubled = 2 * np.log2(np.maximum(sums / sums.mean(), 2.0**-4))
    worth = -doubled.mean() / 2 * table.columns * smaller  # about how many bits they save
    if worth <= 8 * table.columns:
        return found
    return _Columns(found.weights, np.clip(np.rint(doubled), -8, 7).astype(np.int8))


def _columns_to_bytes(columns: _Columns, table: Table) -> bytes:
    if not table.is_matrix:
        return b""
    parts = [bytes([_PREDICTED * bool(columns.weights.any()) + _CLASSED * bool(columns.classes.any())])]
    if columns.weights.any():
        parts.append(columns.weights.astype("<i2").tobytes())
    if columns.classes.any():
        nibbles = np.zeros(-(-table.columns // 2) * 2, np.uint8)
        nibbles[: table.columns] = columns.classes + 8
        parts.append((nibbles[::2] | nibbles[1::2] << 4).tobytes())
    return b"".join(parts)


def _columns_from_bytes(body: memoryview, offset: int, table: Table) -> tuple[_Columns, int]:
    weights, classes = np.zeros(table.columns, np.int16), np.zeros(table.columns, np.int8)
    if not table.is_matrix:
        return _Columns(weights, classes), offset
    flags, offset = body[offset] if offset < len(body) else 255, offset + 1
    sizes = 2 * table.columns * (flags & _PREDICTED), -(-table.columns // 2) * (flags >> 1 & 1)
    if flags > _PREDICTED + _CLASSED or offset + sum(sizes) > len(body):
        msg = "the payload ends within what it says of its columns, or that is damaged"
        raise CodecError(msg)
    if flags & _PREDICTED:
        weights[:] = np.frombuffer(body, "<i2", table.columns, offset)
    offset += sizes[0]
    if flags & _CLASSED:
        nibbles = np.frombuffer(body, np.uint8, sizes[1], offset)
        classes[:] = np.stack([nibbles & 15, nibbles >> 4], axis=1).reshape(-1)[: table.columns].astype(np.int8) - 8
    offset += sizes[1]
    if (np.abs(weights.astype(np.int32)) > 2**14).any() or bool(flags & _PREDICTED) != bool(weights.any()):
        msg = "a prototype of the payload is none"
        raise CodecError(msg)
    return _Columns(weights, classes), offset


# The rows of all tables: their classes and coefficients, as rows of 256 in a stream of their own.


def _side_to_bytes(classes: Bytes, coefficients: Integers) -> bytes:
    steps = np.diff(classes.astype(np.int32), prepend=0)
    mean = float(np.abs(coefficients.astype(np.int64)).mean()) if coefficients.size else 0.0
    own = min(max(round(2 * math.log2(max(mean, 1e-6))) + _STEP_CLASS, 1), _CLASSES - 1)
    writer = Writer(steps.size + coefficients.size)
    for values, its_class in ((steps, _STEP_CLASS), (coefficients, own)):
        writer.take(values.astype(np.int32), _all_of(its_class, values.size), _FLAT)
    return bytes([own]) + writer.to_bytes()


def _side_from_bytes(body: memoryview, offset: int, num_rows: int, num_predicted: int) -> tuple[Bytes, Integers, int]:
    own = body[offset] if offset < len(body) else 0
    if not 0 < own < _CLASSES:
        msg = f"the payload ends at byte {offset}, or the class of its coefficients is none"
        raise CodecError(msg)
    reader, found = Reader(body, offset + 1, num_rows + num_predicted), []
    for size, its_class in ((num_rows, _STEP_CLASS), (num_predicted, own)):
        classes, values = _all_of(its_class, size), np.empty(size, np.int32)
        reader.read(classes, _FLAT, _NO_WEIGHTS, np.zeros(classes.size, np.int32), np.empty(size, np.int8), values)
        found.append(values)
    reader.finish()
    classes = (np.cumsum(found[0], dtype=np.int64) & (_CLASSES - 1)).astype(np.uint8)
    return classes, found[1], reader.end


def _all_of(its_class: int, size: int) -> Bytes:
    return np.full(-(-size // FLAT_COLUMNS), its_class, np.uint8)
