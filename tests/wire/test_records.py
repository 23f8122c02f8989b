import numpy as np
import pytest

from eafl_flower.errors import CodecError
from eafl_flower.types import ArraySpec
from eafl_flower.wire.records import coded_parts, coded_record, difference_record

LAYOUT = (ArraySpec((2,), "float32"), ArraySpec((), "int64"))


@pytest.mark.parametrize("payload", [bytearray(b"abc"), "abc", None])
def test_what_a_codec_makes_is_bytes_or_refused_by_name(payload):
    for made in (lambda: coded_record(payload, LAYOUT, ["a", "b"]), lambda: difference_record(payload, 1)):
        with pytest.raises(CodecError, match=rf"the codec encoded to {type(payload).__name__}: expected bytes"):
            made()


def test_coded_arrays_come_back_with_plain_names():
    record = coded_record(b"abc", LAYOUT, [np.str_("a"), "b"])
    assert coded_parts(record) == (b"abc", LAYOUT, ["a", "b"])
    assert {type(key) for key in record["keys"]} == {str}
