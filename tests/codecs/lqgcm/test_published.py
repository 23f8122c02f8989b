import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.codecs import Float32Codec, LQGCMCodec, PublishedLQGCMCodec
from eafl_flower.codecs.lqgcm import noise_codebook as codebooks
from eafl_flower.codecs.lqgcm.noise_codebook import cache_folder, noise_codebook
from eafl_flower.codecs.lqgcm.tuples import TUPLE
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError, ConfigError
from eafl_flower.protocols import DifferenceCodec
from eafl_flower.types import digest, layout_of

RNG = generator(1, "unused")
SHAPES = ([(32, 7), (32,), (32,)] * 2 + [(32, 64)]) * 2 + [(32, 64)]  # the source's backbone for seven features


def update(*purpose, shapes=SHAPES, scale=1e-3):
    rng = generator(1, "published", *purpose)
    return tuple((scale * rng.standard_normal(s) ** 3).astype(np.float32) for s in shapes)


def coded(arrays, codec=None, counter=1):
    codec = codec or PublishedLQGCMCodec()
    state = replace(codec.init(layout_of(arrays)), counter=counter)
    encoded, _ = codec.encode(state, arrays, RNG)
    return encoded, codec.decode(codec.init(layout_of(arrays)), encoded.payload)


def pooled(arrays):
    return np.concatenate([a.reshape(-1) for a in arrays if a.dtype.kind == "f"]).astype(float)


def db(arrays, decoded):
    x, y = pooled(arrays), pooled(decoded)
    return -10 * np.log10(np.sum((x - y) ** 2) / np.sum(x**2))


def test_the_payload_is_the_source_s_288_bytes_and_a_counter():
    encoded, (_, state) = coded(update(), counter=77)
    assert len(encoded.payload) == 4 + 15 * 6 + 18 * 11 == 4 + 288
    assert encoded.bits_paper == 18 * 88
    assert state.counter == 77
    assert struct.unpack_from("<IHI", encoded.payload) == (77, 0, 11)


def test_it_carries_next_to_nothing_and_a_sound_codec_thirty_times_as_much():
    arrays = update()
    encoded, (decoded, _) = coded(arrays)
    captured = 1 - np.sum((pooled(arrays) - pooled(decoded)) ** 2) / np.sum(pooled(arrays) ** 2)
    assert 0 < db(arrays, decoded) < 0.05
    assert encoded.error == pytest.approx(np.sqrt(1 - captured), rel=1e-5)
    sound = LQGCMCodec()
    error = sound.encode(sound.init(layout_of(arrays)), arrays, RNG)[0].error
    assert 1 - error**2 > 30 * captured


def test_the_fifth_of_the_blocks_with_the_largest_variance_is_kept_for_each_array():
    values = np.zeros((11, 256), np.float32)
    values[4] = generator(1, "variance").standard_normal(256)
    values[7] = 0.1 * values[4]
    values[8] = 0.01 * values[4]
    values[9] = 100  # a constant: large, but of no variance
    encoded, _ = coded((values,))
    tuples = np.frombuffer(encoded.payload, TUPLE, offset=10)
    assert tuples["block"].tolist() == [4, 7, 8]  # of 11 blocks three
    np.testing.assert_allclose(tuples["gain"].astype(float), np.abs(values[[4, 7, 8]]).max(axis=1) / 127, rtol=2e-3)


def test_a_decoded_block_is_a_codeword_a_step_and_a_scale():
    values = generator(1, "block").standard_normal(256).astype(np.float32)
    encoded, ((decoded,), _) = coded((values,))
    (block,) = np.frombuffer(encoded.payload, TUPLE, offset=10)
    flags = (int(block["high"]) >> np.arange(32)) & 1
    expected = (noise_codebook()[block["low"]] + np.repeat(2 * flags - 1, 8) / 256) * float(block["gain"])
    np.testing.assert_allclose(decoded, expected, rtol=1e-6, atol=1e-7)


def test_the_clip_scales_an_update_down_to_its_l1_norm():
    arrays = update(scale=1.0)
    norm = np.abs(pooled(arrays)).sum()
    scaled = tuple((a.astype(float) / norm).astype(np.float32) for a in arrays)
    clipped, (decoded, _) = coded(arrays, PublishedLQGCMCodec(l1_clip=1.0))
    by_hand, (expected, _) = coded(scaled)
    np.testing.assert_allclose(pooled(decoded), pooled(expected), rtol=2e-3, atol=1e-9)
    assert clipped.error > by_hand.error
    small = update(scale=1e-6)
    assert coded(small, PublishedLQGCMCodec(l1_clip=1.0))[0].payload == coded(small)[0].payload


def test_the_way_down_is_float32():
    assert isinstance(PublishedLQGCMCodec(), DifferenceCodec)
    assert isinstance(PublishedLQGCMCodec().downlink, Float32Codec)


@pytest.mark.parametrize("scale", [0.0, 1e-44, 1e-12, 1e4, 1e35])
def test_any_finite_update_decodes_to_finite_arrays(scale):
    arrays = (*update(scale=scale), np.array([3, -(2**50)]), np.zeros((0, 3), np.float32))
    encoded, (decoded, _) = coded(arrays)
    assert layout_of(decoded) == layout_of(arrays)
    assert np.isfinite(pooled(decoded)).all()
    assert np.array_equal(decoded[-2], arrays[-2])
    x = pooled(arrays)
    if scale > 1e-40:
        assert encoded.error == pytest.approx(np.linalg.norm(pooled(decoded) - x) / np.linalg.norm(x), rel=1e-5)
    if scale == 0:
        # s is 1e-8 where all is zero, which float16 rounds to nothing
        assert not pooled(decoded).any()


def test_models_without_floats_are_coded():
    for arrays in ((), (np.arange(3),), (np.zeros((0, 4), np.float32),)):
        _, (decoded, _) = coded(arrays)
        assert digest(decoded) == digest(arrays)


def test_what_does_not_fit_is_refused():
    arrays = update()
    codec, payload = PublishedLQGCMCodec(), coded(arrays)[0].payload
    state = codec.init(layout_of(arrays))
    for bad in (arrays[:-1], (np.full_like(arrays[0], np.nan), *arrays[1:])):
        with pytest.raises(CodecError):
            codec.encode(state, bad, RNG)
    with pytest.raises(CodecError, match="counter -1"):
        codec.encode(replace(state, counter=-1), arrays, RNG)
    with pytest.raises(CodecError, match="is 291 bytes, its layout needs 292"):
        codec.decode(state, payload[:-1])
    for offset, value, message in [(4, 9, "table of array 9"), (6, 12, "with 12 bytes"), (10, 200, "block")]:
        mutated = bytearray(payload)
        mutated[offset] = value
        with pytest.raises(CodecError, match=message):
            codec.decode(state, bytes(mutated))
    with pytest.raises(ConfigError, match="l1_clip = -1"):
        PublishedLQGCMCodec(l1_clip=-1.0)


@pytest.fixture
def quick_cache(tmp_path, monkeypatch):
    """A cache folder of its own, and a codebook that is made in no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(codebooks, "NUM_SAMPLES", 1000)
    return tmp_path / "eafl-flower"


fresh_codebook = noise_codebook.__wrapped__


def test_the_codebook_is_kept_in_the_cache_folder(quick_cache, monkeypatch):
    first = fresh_codebook()
    assert cache_folder() == quick_cache
    (path,) = quick_cache.iterdir()
    content = path.read_bytes()
    assert hashlib.sha256(content[32:]).digest() == content[:32]
    monkeypatch.setattr(codebooks, "_made", None)  # would fail if called
    assert np.array_equal(fresh_codebook(), first)


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b[:-1] + b"\7", lambda b: b""])
def test_a_damaged_cache_is_made_anew(quick_cache, damage):
    first = fresh_codebook()
    (path,) = quick_cache.iterdir()
    sound = path.read_bytes()
    path.write_bytes(damage(sound))
    assert np.array_equal(fresh_codebook(), first)
    assert path.read_bytes() == sound


def test_a_folder_that_cannot_be_written_is_no_obstacle(quick_cache):
    quick_cache.write_text("not a folder")
    assert fresh_codebook().shape == (256, 256)


def test_the_codebook_has_centres_of_white_noise_on_a_grid(quick_cache):
    codebook = fresh_codebook()
    assert np.array_equal(codebook * 512, np.rint(codebook * 512))
    # 1,000 samples are about four a centre: their mean has a norm of at least sqrt(256 / 4 / 2)
    assert 5 < np.linalg.norm(codebook, axis=1).mean() < 16
