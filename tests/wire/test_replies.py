import pytest
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from eafl_flower.engines.answer import describe
from eafl_flower.wire.replies import sizes_of, words_of


def raised(error):
    try:
        raise error
    except Exception as caught:
        return caught


def test_the_words_of_our_engines_are_those_of_the_exception():
    assert words_of(describe(raised(ValueError("no data")))) == "ValueError: no data"
    assert words_of(describe(raised(ValueError("no data:\n  file missing")))) == "ValueError: no data: file missing"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("ClientApp raised an exception", "ClientApp raised an exception"),
        ("Traceback (most recent call last):\n  File x\nValueError: no data\n", "ValueError: no data"),
        (
            "<class 'X'>:<'\x1b[36mray::run()\x1b[39m\n  File x\nflwr.ClientAppException: \nException "
            "ClientAppException occurred. Message: no data\nin here\n'>",
            "no data in here",
        ),
        ("<class 'ValueError'>:<'no data:\n  it's missing'>", "ValueError: no data: it's missing"),
        ("<class 'eafl_flower.errors.DataError'>:<''>", "eafl_flower.errors.DataError:"),
        (None, "no reason given"),
        (" \n", "no reason given"),
        ("x" * 5000, "x" * 1000 + "… (5000 characters)"),
        ("\x1b]0;owned\x07\x1b[2Jhello", "\\x1b]0;owned\\x07\\x1b[2Jhello"),
    ],
)
def test_the_words_are_found_in_what_flower_puts_around_them(reason, words):
    assert words_of(reason) == words


def test_plain_arrays_count_their_values_and_coded_ones_their_payload():
    record = ArrayRecord({"w": FlowerArray("float32", (2, 3), "numpy.ndarray", b"h" * 128 + bytes(24))})
    payload, framed = sizes_of(RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": 3})}))
    assert payload == 24
    assert framed > 152
    assert sizes_of(RecordDict({"eafl.arrays": ConfigRecord({"payload": b"12345"})}))[0] == 5


@pytest.mark.parametrize(
    ("dtype", "shape"), [("float32", (10**9,)), ("float32", (-5,)), ("what?", (2,)), ("f4,,", (2,))]
)
def test_an_array_cannot_claim_a_size_it_does_not_have(dtype, shape):
    record = ArrayRecord({"w": FlowerArray(dtype, shape, "numpy.ndarray", b"12345678")})
    assert 0 <= sizes_of(RecordDict({"arrays": record}))[0] <= 8
