r"""Integers of tables as bytes: prediction, contexts, entropy code.

Much of an update of a large model is one row seen many times: words that a batch lacks move along one direction. A
table may thus have a *prototype*, weights :math:`w_j` in 2**-14 whose largest is 1, and each row a coefficient
:math:`k_i`; what is coded is

.. math:: d_{ij} = m_{ij} - \bigl\lfloor (k_i w_j + 2^{13}) / 2^{14} \bigr\rfloor

The token of :math:`|d|` below 16 is itself; above, it tells the number of its bits and the second of them, and the bits
below follow raw, as does the sign of any but zero. The context of a token is the class of its row, twice the binary
logarithm of the row's mean of :math:`|d|`, plus that of its column, where a table has those. Classes, coefficients and
tables of frequencies travel in front, so that a decoder knows every context before it begins.

Nothing of this changes an integer. ``docs/emq.md`` has the bytes.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.codecs.emq.rans import (
    TOKENS,
    Bytes,
    Coded,
    Counts,
    cost_bits,
    decode,
    encode,
    frequencies_of,
    loops,
    read_tables,
    write_tables,
)
from eafl_flower.codecs.emq.shape import Table
from eafl_flower.errors import CodecError

Integers = NDArray[np.int32]

_CODED_HEAD: Final = struct.Struct("<4II")
_MASK: Final = struct.Struct("<Q")
_PREDICTED, _CLASSED = 1, 2
_MIDDLE: Final = 24  # the class of a row whose mean is 1
_COARSEST: Final = 4
_SAMPLED_ROWS: Final = 256
_ITERATIONS: Final = 8
_SMALL: Final = np.array(
    [n if n < 16 else 16 + 2 * (n.bit_length() - 5) + (n >> (n.bit_length() - 2) & 1) for n in range(4096)], np.uint8
)


@dataclass(frozen=True)
class _Side:
    """What a table needs beside its tokens: weights and coefficients (zeros: none), classes of rows and of columns."""

    weights: NDArray[np.int16]
    coefficients: Integers
    rows: Bytes
    by_column: NDArray[np.int8]


def encode_integers(values: Integers, tables: Sequence[Table]) -> bytes:
    """Return ``values`` `(n,)`, below 2**26 in magnitude, as bytes; ``tables`` cover them in order, without gaps."""
    rests, contexts, sides = np.empty_like(values), np.empty(values.size, np.uint8), []
    for table in tables:
        part = slice(table.start, table.stop)
        side = _side_of(values[part], table, rests[part])
        loops().spread(side.rows, side.by_column, contexts[part])
        sides.append(side)
    classes = np.concatenate([side.rows for side in sides])
    coefficients = np.concatenate(
        [side.coefficients for side in sides if side.weights.any()] or [np.zeros(0, np.int32)]
    )
    in_front = np.concatenate([np.zeros(classes.size, np.uint8), np.ones(coefficients.size, np.uint8)])
    twice, raw = np.zeros((2, TOKENS, TOKENS), np.int64), np.empty(values.size + coefficients.size + 4, np.uint32)
    tokens, own = np.empty(values.size, np.uint8), np.empty(coefficients.size, np.uint8)
    used = loops().tokenise(coefficients, in_front[classes.size :], _SMALL, own, np.zeros_like(twice), raw)
    used += loops().tokenise(rests, contexts, _SMALL, tokens, twice, raw[used:])
    counts = twice.sum(axis=0)
    steps = np.diff(classes, prepend=np.uint8(0)) & np.uint8(TOKENS - 1)
    parts = [_columns_to_bytes(side, table) for side, table in zip(sides, tables, strict=True)]
    parts += _write(np.concatenate([steps, own]), in_front, _counts(np.concatenate([steps, own]), in_front))
    coarseness = min(range(_COARSEST), key=lambda c: _bits(_merged(counts, c)))
    parts += [bytes([coarseness])]
    parts += _write(tokens, contexts, counts, coarseness)
    return b"".join((*parts, raw[:used].astype("<u4").tobytes()))


def decode_integers(body: memoryview, tables: Sequence[Table], size: int) -> Integers:
    """Return the ``size`` integers in ``body``.

    Raises
    ------
    CodecError
        If ``encode_integers`` cannot have made it.
    """
    offset, columns = 0, []
    for table in tables:
        read, offset = _columns_from_bytes(body, offset, table)
        columns.append(read)
    num_rows = sum(table.rows for table in tables)
    num_predicted = sum(t.rows for t, (weights, _) in zip(tables, columns, strict=True) if weights.any())
    in_front = np.concatenate([np.zeros(num_rows, np.uint8), np.ones(num_predicted, np.uint8)])
    front, offset = _read(body, offset, in_front, 0)
    rows = np.cumsum(front[:num_rows], dtype=np.uint8) & np.uint8(TOKENS - 1)
    if offset >= len(body) or body[offset] >= _COARSEST:
        msg = f"the payload ends at byte {offset}, or its contexts are too coarse"
        raise CodecError(msg)
    coarseness, offset = body[offset], offset + 1
    contexts, first = np.empty(size, np.uint8), 0
    for table, (_, by_column) in zip(tables, columns, strict=True):
        loops().spread(rows[first : first + table.rows], by_column, contexts[table.start : table.stop])
        first += table.rows
    tokens, offset = _read(body, offset, contexts, coarseness)
    own = front[num_rows:]
    own_words, words = (-(-int(loops().raw_bits(t)) // 32) for t in (own, tokens))
    if len(body) - offset != 4 * (own_words + words):
        msg = f"the payload has {len(body) - offset} bytes of raw bits, its tokens need {4 * (own_words + words)}"
        raise CodecError(msg)
    raw = np.zeros(own_words + words + 2, np.uint32)
    raw[:-2] = np.frombuffer(body, "<u4", offset=offset)
    coefficients, values = np.empty(own.size, np.int32), np.empty(size, np.int32)
    bare = np.zeros(1, np.int32)
    end = loops().assemble(own, max(own.size, 1), np.zeros(1, np.int16), bare, raw, 0, coefficients)
    ends, start = [(end, 0, own_words)], 32 * own_words
    first, bit = 0, start
    for table, (weights, _) in zip(tables, columns, strict=True):
        its = np.zeros(table.rows, np.int32)
        if weights.any():
            its, first = coefficients[first : first + table.rows], first + table.rows
        part = slice(table.start, table.stop)
        bit = loops().assemble(tokens[part], table.columns, weights, its, raw, bit, values[part])
    ends.append((bit, start, words))
    for stop, begin, count in ends:
        if stop < begin + 32 * count and raw[stop >> 5] >> np.uint32(stop & 31):
            msg = "the raw bits of the payload go on behind the last one"
            raise CodecError(msg)
    return values


# The side of a table.


def _side_of(values: Integers, table: Table, rests: Integers) -> _Side:
    """Return what stands beside the tokens of a table, and fill what its prediction leaves."""
    weights, coefficients = _prediction_of(values, table)
    sums = np.empty(table.rows, np.int64)
    loops().leave(values, table.columns, weights, coefficients, rests, sums)
    lengths = np.full(table.rows, table.columns)
    lengths[-1] = table.stop - table.start - table.columns * (table.rows - 1)
    means = sums / lengths
    classes = np.clip(np.rint(2 * np.log2(np.maximum(means, 1e-9))) + _MIDDLE, 1, TOKENS - 1)
    rows = np.where(sums == 0, 0, classes).astype(np.uint8)
    by_column = np.zeros(table.columns, np.int8)
    if table.is_matrix and rows.any():
        scales = np.where(sums > 0, 1 / np.maximum(means, 1), 0).astype(np.float32)
        totals = np.zeros(table.columns, np.float32)
        loops().column_sums(rests, table.columns, scales, totals)
        doubled = 2 * np.log2(np.maximum(totals / totals.mean(dtype=np.float64), 2.0**-4))
        worth = -doubled.mean() / 2 * table.columns * np.minimum(means, 1).sum()  # about how many bits they save
        if worth > 8 * table.columns:
            by_column = np.clip(np.rint(doubled), -8, 7).astype(np.int8)
    return _Side(weights, coefficients, rows, by_column)


def _prediction_of(values: Integers, table: Table) -> tuple[NDArray[np.int16], Integers]:
    """Return the prototype of a matrix and the coefficients of its rows; zeros where none is worth its bytes."""
    nothing = np.zeros(table.columns, np.int16), np.zeros(table.rows, np.int32)
    if not table.is_matrix:
        return nothing
    every = -(-table.rows // _SAMPLED_ROWS)
    sample = values.reshape(-1, table.columns)[::every].astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", sample, sample))
    sample = sample[norms > 0] / norms[norms > 0, None]
    if not len(sample):
        return nothing
    direction = sample[len(sample) // 2]
    for _ in range(_ITERATIONS):  # by einsum, whose sum, unlike that of BLAS, does not depend on the number of threads
        direction = np.einsum("ij,i->j", sample, np.einsum("ij,j->i", sample, direction))
        direction /= np.abs(direction).max()
    weights = np.rint(direction * 2**14).astype(np.int16)
    coefficients = np.empty(table.rows, np.int32)
    norm = float(np.sum(weights.astype(np.float64) ** 2)) / 2**14
    saved = loops().fit_rows(values, table.columns, weights, norm, coefficients)
    return (weights, coefficients) if saved > 16 * table.columns else nothing


def _columns_to_bytes(side: _Side, table: Table) -> bytes:
    if not table.is_matrix:
        return b""
    parts = [bytes([_PREDICTED * bool(side.weights.any()) + _CLASSED * bool(side.by_column.any())])]
    if side.weights.any():
        parts.append(side.weights.astype("<i2").tobytes())
    if side.by_column.any():
        nibbles = np.zeros(-(-table.columns // 2) * 2, np.uint8)
        nibbles[: table.columns] = side.by_column + 8
        parts.append((nibbles[::2] | nibbles[1::2] << 4).tobytes())
    return b"".join(parts)


def _columns_from_bytes(
    body: memoryview, offset: int, table: Table
) -> tuple[tuple[NDArray[np.int16], NDArray[np.int8]], int]:
    weights, by_column = np.zeros(table.columns, np.int16), np.zeros(table.columns, np.int8)
    if not table.is_matrix:
        return (weights, by_column), offset
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
        by_column[:] = np.stack([nibbles & 15, nibbles >> 4], axis=1).reshape(-1)[: table.columns].astype(np.int8) - 8
    offset += sizes[1]
    if (np.abs(weights.astype(np.int32)) > 2**14).any() or bool(flags & _PREDICTED) != bool(weights.any()):
        msg = "a prototype of the payload is none"
        raise CodecError(msg)
    return (weights, by_column), offset


# Tokens with their tables.


def _merged(counts: Counts, coarseness: int) -> Counts:
    """Return counts `(contexts, 64)` of coarser contexts; the first one, of zeros, stays alone."""
    width = 2**coarseness
    rest = np.zeros((-(-(TOKENS - 1) // width) * width, TOKENS), np.int64)
    rest[: TOKENS - 1] = counts[1:]
    return np.concatenate([counts[:1], rest.reshape(-1, width, TOKENS).sum(axis=1)])


def _coarse(coarseness: int) -> NDArray[np.intp]:
    """Return the coarse context of each fine one, `(64,)`."""
    return np.concatenate([[0], 1 + (np.arange(TOKENS - 1) >> coarseness)])


def _counts(tokens: Bytes, contexts: Bytes) -> Counts:
    flat = np.bincount(contexts.astype(np.int64) * TOKENS + tokens, minlength=TOKENS**2)
    return flat.reshape(TOKENS, TOKENS)


def _bits(counts: Counts) -> float:
    used = counts[counts.any(axis=1)]
    return float(cost_bits(used).sum()) + 8 * len(write_tables(frequencies_of(used))) if len(used) else 0.0


def _write(tokens: Bytes, contexts: Bytes, counts: Counts, coarseness: int = 0) -> list[bytes]:
    """Return which contexts occur, their tables, and the coded tokens."""
    merged = _merged(counts, coarseness)
    occurs = merged.any(axis=1)
    frequencies = frequencies_of(merged)
    coded = encode(tokens, contexts, frequencies[_coarse(coarseness)])
    return [
        _MASK.pack(sum(1 << int(c) for c in np.flatnonzero(occurs))),
        write_tables(frequencies[occurs]),
        _CODED_HEAD.pack(*coded.states.tolist(), coded.words.size),
        coded.words.astype("<u2").tobytes(),
    ]


def _read(body: memoryview, offset: int, contexts: Bytes, coarseness: int) -> tuple[Bytes, int]:
    """Return the tokens at ``offset`` and where they end."""
    short = "the payload ends within its coded values: truncated in transit?"
    if offset + _MASK.size > len(body):
        raise CodecError(short)
    (mask,) = _MASK.unpack_from(body, offset)
    occurs = np.array([mask >> c & 1 for c in range(TOKENS)], bool)
    read, offset = read_tables(body, offset + _MASK.size, int(occurs.sum()))
    coarse = _coarse(coarseness)[: int(contexts.max()) + 1 if contexts.size else 1]
    frequencies = np.zeros((TOKENS, TOKENS), np.int64)
    frequencies[:, 0] = 4096  # of a context without a table, which no encoder makes
    frequencies[occurs] = read
    if offset + _CODED_HEAD.size > len(body):
        raise CodecError(short)
    *states, num_words = _CODED_HEAD.unpack_from(body, offset)
    offset += _CODED_HEAD.size
    if offset + 2 * num_words > len(body):
        raise CodecError(short)
    words = np.frombuffer(body, "<u2", num_words, offset).astype(np.uint16)
    tokens = decode(Coded(np.array(states, np.uint64), words), contexts, frequencies[coarse])
    return tokens, offset + 2 * num_words
