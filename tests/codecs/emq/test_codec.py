import numpy as np
import pytest

from eafl_flower.codecs import EMQCodec, frame
from eafl_flower.codecs.emq.integers import decode_integers, encode_integers
from eafl_flower.codecs.emq.quantiser import ZeroGrid
from eafl_flower.codecs.emq.shape import tables_of
from eafl_flower.codecs.framing import EMQ_ID, HEADER_BYTES
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError, ConfigError
from eafl_flower.types import ArraySpec, digest, layout_of

RNG = generator(1, "unused")
CODECS = {
    "auto": EMQCodec(),
    "literal": EMQCodec(variant="literal"),
    "binary": EMQCodec(variant="binary"),
    "float": EMQCodec(variant="float"),
    "fixed": EMQCodec(variant="fixed"),
    "tiny": EMQCodec(zero_mode="tiny", choose_digits=False, digits=2),
    "layer": EMQCodec(scope="layer", choose_digits=False, digits=6),
}


def coded(codec, arrays):
    encoded, _ = codec.encode(codec.init(layout_of(arrays)), arrays, RNG)
    return encoded, codec.decode(codec.init(layout_of(arrays)), encoded.payload)[0]


def random_arrays(rng):
    shapes = [tuple(rng.integers(0, 40, size=rng.integers(0, 4)).tolist()) for _ in range(rng.integers(1, 6))]
    scale = 10.0 ** rng.integers(-44, 37)
    kinds = (lambda s: rng.standard_normal(s) ** 3, np.zeros, lambda s: rng.integers(-1, 2, size=s), np.ones)
    return tuple(np.asarray(scale * kinds[rng.integers(4)](shape)).astype(np.float32) for shape in shapes)


@pytest.mark.parametrize("name", CODECS)
def test_what_is_decoded_is_what_the_quantiser_gives(name):
    rng, codec = generator(1, "emq", name), CODECS[name]
    for _ in range(30):
        arrays = random_arrays(rng)
        encoded, decoded = coded(codec, arrays)
        x = np.concatenate([a.reshape(-1) for a in arrays])
        parts = [a.reshape(-1) for a in arrays] if codec.scope == "layer" else [x]
        expected = []
        for part in parts:
            grid = codec._grid(part) if part.any() else ZeroGrid()
            integers, values = np.empty(part.size, np.int32), np.empty(part.size, np.float32)
            grid.round(part, integers)
            grid.fill(integers, values)
            expected.append(values)
        assert digest((np.concatenate([a.reshape(-1) for a in decoded]),)) == digest((np.concatenate(expected),))
        assert layout_of(decoded) == layout_of(arrays)
        assert coded(codec, arrays)[0] == encoded


def low_rank(rows=300, columns=64):
    """Rows that move alike, of different lengths, with some of their own; zeros among them."""
    rng = generator(1, "emq", "rows")
    alike = rng.exponential(size=(rows, 1)) * rng.standard_normal((1, columns))
    own = rng.standard_normal((rows, columns)) * (rng.random((rows, 1)) < 0.1)
    return (alike + own + 0.01 * rng.standard_normal((rows, columns))).astype(np.float32)


def as_they_are(place, x, integers):
    integers[:] = x.view(np.int32)
    return 0.0, 0


def test_integers_come_back_whatever_they_are():
    rng = generator(1, "emq", "integers")
    for size in (1, 2, 3, 4, 5, 255, 257, 5000):
        layout = (ArraySpec((size,), "float32"), ArraySpec((size, 17), "float32"))
        for top in (0, 1, 3, 17, 2**20, 2**26 - 1):
            values = rng.integers(-top, top + 1, size=18 * size).astype(np.int32)
            body = memoryview(encode_integers(values.view(np.float32), tables_of(layout), as_they_are)[0])
            assert np.array_equal(decode_integers(body, tables_of(layout), values.size), values)


def test_rows_that_move_alike_cost_less_than_their_own_entropy():
    codec, x = EMQCodec(choose_digits=False, digits=2), low_rank()
    encoded, _ = coded(codec, (x,))
    integers = np.empty(x.size, np.int32)
    codec._grid(x.reshape(-1)).round(x.reshape(-1), integers)
    shares = np.unique(integers, return_counts=True)[1] / integers.size
    entropy = -np.sum(shares * np.log2(shares)) * integers.size
    assert 8 * len(encoded.payload) < 0.75 * entropy


def test_zeros_take_a_header_and_nothing_is_charged_but_a_bit():
    encoded, decoded = coded(EMQCodec(), (np.zeros((30, 40), np.float32),))
    assert len(encoded.payload) == HEADER_BYTES + 5
    assert (encoded.bits_paper, encoded.error) == (1, 0.0)
    assert not decoded[0].any()


def test_the_paper_counts_fewer_bits_than_can_be_decoded():
    x = generator(1, "emq", "paper").standard_normal(50_000).astype(np.float32)
    encoded, _ = coded(EMQCodec(choose_digits=False, digits=1), (x,))
    assert encoded.bits_paper < 8 * len(encoded.payload) < 32 * x.size / 4


def forged(arrays, body, counter=0):
    return frame([bytes(body)], codec_id=EMQ_ID, codec_version=2, layout=layout_of(arrays), counter=counter)


def decodes_or_refuses(codec, arrays, payload):
    try:
        decoded, _ = codec.decode(codec.init(layout_of(arrays)), payload)
    except CodecError:
        return False
    assert layout_of(decoded) == layout_of(arrays)
    assert all(np.isfinite(a).all() for a in decoded)
    return True


@pytest.mark.parametrize("rows", [40, 200], ids=["one state", "eight states"])
@pytest.mark.parametrize("name", ["auto", "float", "layer"])
def test_altered_bodies_in_sound_frames_decode_to_something_or_are_refused(name, rows):
    codec, arrays = CODECS[name], (low_rank(rows, 32), np.arange(3), generator(1, "x").standard_normal(9).astype("f4"))
    body = bytearray(coded(codec, arrays)[0].payload[HEADER_BYTES:])
    assert decodes_or_refuses(codec, arrays, forged(arrays, body))
    assert not any(decodes_or_refuses(codec, arrays, forged(arrays, body[:n])) for n in range(30, len(body), 3))
    rng = generator(1, "emq", "hostile", name, rows)
    for n in range(1500):
        altered = bytearray(body)
        for place in rng.integers(min(len(body), 200 if n % 2 else len(body)), size=1 + n % 3).tolist():
            altered[place] ^= int(rng.integers(1, 256))
        decodes_or_refuses(codec, arrays, forged(arrays, altered))
    for n in range(100):
        decodes_or_refuses(codec, arrays, forged(arrays, rng.bytes(n * 5)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_with_the_array_named(value):
    arrays = (np.ones(3, np.float32), np.array([1, value], np.float32))
    with pytest.raises(CodecError, match=r"array 1 .* NaN or infinite"):
        coded(EMQCodec(), arrays)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"choose_digits": False, "digits": 7}, 'variant = "auto" has at most 6'),
        ({"digits": 2}, "they are chosen for the error; set choose_digits to false"),
        ({"variant": "float", "digits": 1}, 'variant = "float" has none to set'),
        ({"variant": "fixed", "zero_mode": "tiny"}, 'variant = "fixed" has its own zeros'),
        ({"squared_error": 0.0}, "expected a number above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        EMQCodec(**settings)
