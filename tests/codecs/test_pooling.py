import pytest

from eafl_flower.codecs import Int8Codec, LQGCMCodec, layout_from_text
from eafl_flower.codecs.pooling import pool_of
from eafl_flower.errors import CodecError


def test_floating_arrays_are_pooled_and_the_others_are_not():
    pool = pool_of(layout_from_text("f4:10x3;i8:2;f2:;b1:5;f8:0;u1:3"), 16)
    assert pool.pooled == (0, 2, 4)
    assert pool.starts == (0, 30, 31, 31)
    assert pool.literal == (1, 3, 5)
    assert pool.literal_bytes == 16 + 5 + 3
    assert (pool.num_values, pool.num_blocks, pool.num_padded) == (31, 2, 32)


NUM_ARRAYS = 200_000


@pytest.mark.parametrize("codec", [Int8Codec(), LQGCMCodec()], ids=["int8", "lqgcm"])
def test_the_largest_layout_that_can_be_sent_costs_its_length_not_its_square(codec):
    """Anybody can send one, with a payload that is none; its square is 4e10, and this test would not end."""
    layout = layout_from_text(";".join(["f4:0", "i8:"] * (NUM_ARRAYS // 2)))
    with pytest.raises(CodecError, match="not a payload"):
        codec.decode(codec.init(layout), b"x" * 100)
    pool = pool_of(layout, 256)
    assert pool.pooled == tuple(range(0, NUM_ARRAYS, 2))
    assert pool.literal == tuple(range(1, NUM_ARRAYS, 2))
