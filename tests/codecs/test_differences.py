from itertools import pairwise

import numpy as np
import pytest

from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec, PublishedLQGCMCodec
from eafl_flower.codecs.differences import OtherArraysError, decode_onto, encode_onto, whole_codec
from eafl_flower.codecs.whole import WholeCodec
from eafl_flower.errors import CodecError
from eafl_flower.types import digest

CODEC = LQGCMCodec(downlink_tuples=3)
HELD = (np.linspace(-1, 1, 300, dtype=np.float32), np.array([3, 4], np.int64), np.array([True, False]))
WANTED = (HELD[0] + np.float32(0.01), np.array([5, 1], np.int64), np.array([False, False]))


def test_whole_arrays_travel_in_float32_where_only_differences_are_known():
    assert whole_codec(CODEC) == WholeCodec(Float32Codec())
    assert whole_codec(Int8Codec()) == WholeCodec(Int8Codec())


def test_what_is_not_floating_arrives_as_it_is():
    payload = encode_onto(CODEC, HELD, WANTED, counter=2, rng=None)
    new = decode_onto(CODEC, HELD, payload, counter=2)
    assert [a.dtype for a in new] == [a.dtype for a in HELD]
    np.testing.assert_array_equal(new[1], WANTED[1])
    np.testing.assert_array_equal(new[2], WANTED[2])


def test_repeated_differences_lead_to_the_arrays():
    held, errors = HELD, []
    for counter in range(1, 60):
        held = decode_onto(CODEC, held, encode_onto(CODEC, held, WANTED, counter=counter, rng=None), counter=counter)
        errors.append(float(np.linalg.norm(held[0] - WANTED[0])))
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(errors))
    assert errors[-1] < 0.1 * errors[0]


def test_no_difference_changes_nothing():
    payload = encode_onto(CODEC, HELD, HELD, counter=1, rng=None)
    assert digest(decode_onto(CODEC, HELD, payload, counter=1)) == digest(HELD)


BOTH = pytest.mark.parametrize("codec", [CODEC, PublishedLQGCMCodec()], ids=["lqgcm", "published"])


@BOTH
def test_the_payload_of_another_job_is_refused(codec):
    payload = encode_onto(codec, HELD, WANTED, counter=2, rng=None)
    for counter in (0, 1, 3, 2**32 - 1):
        with pytest.raises(OtherArraysError, match=f"job {counter} give .* or belongs to another job"):
            decode_onto(codec, HELD, payload, counter=counter)
    with pytest.raises(CodecError, match="layout"):
        decode_onto(codec, HELD[:1], payload, counter=2)


@BOTH
@pytest.mark.parametrize("place", range(len(HELD)))
def test_a_difference_is_refused_by_who_holds_other_arrays(codec, place):
    payload = encode_onto(codec, HELD, WANTED, counter=2, rng=None)
    other = [a.copy() for a in HELD]
    other[place].view(np.uint8)[-1] ^= 1
    with pytest.raises(OtherArraysError, match="it is the difference to other arrays"):
        decode_onto(codec, tuple(other), payload, counter=2)


@BOTH
def test_what_is_no_payload_at_all_says_nothing_about_the_arrays(codec):
    payload = encode_onto(codec, HELD, WANTED, counter=2, rng=None)
    for damaged in (payload[:-1], payload[:-1] + bytes([payload[-1] ^ 1]), b""):
        with pytest.raises(CodecError) as raised:
            decode_onto(codec, HELD, damaged, counter=2)
        assert not isinstance(raised.value, OtherArraysError)


@BOTH
def test_arrays_of_any_shape_and_memory_order_can_be_held(codec):
    """Both sides tell them by their values in the order of C, as they travel."""
    matrix = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    held = (np.asfortranarray(matrix), np.array(2, np.int64), np.zeros((0, 5), np.float32), np.zeros(3, np.float16))
    same = (matrix, *(a.copy() for a in held[1:]))
    payload = encode_onto(codec, held, tuple(a + a.dtype.type(1) for a in held), counter=1, rng=None)
    assert digest(decode_onto(codec, same, payload, counter=1)) == digest(decode_onto(codec, held, payload, counter=1))


def test_arrays_that_are_not_finite_are_refused():
    with pytest.raises(CodecError, match="finite"):
        encode_onto(CODEC, HELD, (HELD[0] * np.nan, *HELD[1:]), counter=1, rng=None)
