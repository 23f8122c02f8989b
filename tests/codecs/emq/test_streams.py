import numpy as np
import pytest

from eafl_flower.codecs.emq.rans import cost_bits, frequencies_of
from eafl_flower.codecs.emq.streams import Reader, Writer
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError

COLUMNS = 24
NO_WEIGHTS, NO_OFFSETS = np.zeros(COLUMNS, np.int16), np.zeros(COLUMNS, np.int8)


def write(blocks):
    writer = Writer(sum(values.size for values, *_ in blocks))
    for values, classes, by_column in blocks:
        writer.take(values, classes, by_column)
    return writer.to_bytes()


def read(body, blocks):
    reader = Reader(memoryview(body), 0, sum(values.size for values, *_ in blocks))
    found = []
    for values, classes, by_column in blocks:
        found.append(np.empty_like(values))
        weights, room = np.zeros(by_column.size, np.int16), np.empty(values.size, np.int8)
        reader.read(classes, by_column, weights, np.zeros(classes.size, np.int32), room, found[-1])
    reader.finish()
    assert reader.end == len(body)
    return found


def block(rng, rows, columns, *, short=0):
    """Rows of random classes, some of them of zeros, with offsets; values of any size, whatever the class says."""
    classes = rng.integers(0, 64, size=rows).astype(np.uint8)
    tops = np.minimum(2.0 ** rng.integers(0, 27, size=(rows, columns)), 2.0 ** ((classes[:, None] - 20.0) / 2 + 8))
    values = np.rint(rng.uniform(-1, 1, size=(rows, columns)) * tops) * (classes[:, None] > 0)
    values = values.astype(np.int32).reshape(-1)[: rows * columns - short]
    return values, classes, rng.integers(-8, 8, size=columns).astype(np.int8)


@pytest.mark.parametrize("rows", [1, 7, 90], ids="{} rows".format)
def test_rows_come_back_whatever_their_class_says(rows):
    rng = generator(1, "emq", "streams", rows)
    blocks = [block(rng, rows, columns, short=columns // 3) for columns in (1, 8, 17, 256)]
    for found, (values, *_) in zip(read(write(blocks), blocks), blocks, strict=True):
        np.testing.assert_array_equal(found, values)


def test_rows_of_zeros_take_nothing():
    rng = generator(1, "emq", "zeros")
    values, classes, by_column = block(rng, 300, COLUMNS)
    more = (
        np.concatenate([values, np.zeros(9 * values.size, np.int32)]),
        np.pad(classes, (0, 9 * classes.size)),
        by_column,
    )
    assert len(write([more])) == len(write([(values, classes, by_column)]))
    np.testing.assert_array_equal(read(write([more]), [more])[0], more[0])


def test_symbols_cost_what_their_frequencies_say():
    rng, num = generator(1, "emq", "tokens"), 20_000
    classes = np.repeat(np.arange(1, 9), num // 8).astype(np.uint8)
    values = np.minimum(rng.geometric((0.97 - 0.1 * (classes - 1))[:, None], size=(num, COLUMNS)), 32) - 1
    values = (values * rng.choice((-1, 1), size=values.shape)).astype(np.int32).reshape(-1)
    reader = Reader(memoryview(write([(values, classes, NO_OFFSETS)])), 0, values.size)
    counts = np.zeros((64, 64), np.int64)
    np.add.at(counts, (np.repeat(classes, COLUMNS), np.abs(values)), 1)
    counts = counts[counts.any(axis=1)]
    nonzero = np.count_nonzero(values)
    # eight states of 31 bits beside the words; a state of at least 2**15 over 2**11 slots wastes under 2**-4 of a slot,
    # log2(1 + 2**-15 * 2**11) at worst and far less on the mean: within a thousandth here
    cost = cost_bits(counts).sum() + nonzero
    assert cost - 8 * 31 <= 16 * reader._num_words <= cost * 1.001 + 8 * 31
    shares = counts / counts.sum(axis=1, keepdims=True)
    entropy = -np.sum(counts * np.log2(np.where(shares > 0, shares, 1))) + nonzero
    # rounding a share p to 1024ths costs at most log2(e) / 1024 / p of it: 64 tokens a context
    assert entropy <= cost <= entropy + values.size * 64 * np.log2(np.e) / 1024


def test_frequencies_add_up_and_leave_out_nothing_that_occurs():
    counts = generator(1, "emq", "counts").geometric(1e-4, size=(50, 64)) * (np.arange(64) < np.arange(50)[:, None])
    frequencies = frequencies_of(counts)
    assert (frequencies.sum(axis=1) == 1024).all()
    assert np.array_equal(frequencies[1:] > 0, counts[1:] > 0)


def test_classes_that_are_not_the_writers_are_found_out():
    rng = generator(1, "emq", "classes")
    values, classes, by_column = block(rng, 300, COLUMNS)
    body = write([(values, classes, by_column)])
    for row in range(0, 300, 7):
        others = classes.copy()
        others[row] = (others[row] + 9) % 64
        with pytest.raises(CodecError, match="altered in transit"):
            read(body, [(values, others, by_column)])
