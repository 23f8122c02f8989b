from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from eafl_flower.codecs import Codebook, LQGCMCodec, fit_codebook, read_codebook, write_codebook
from eafl_flower.codecs.lqgcm.kmeans import kmeans, nearest
from eafl_flower.codecs.lqgcm.shapes import Shapes
from eafl_flower.codecs.lqgcm.tuples import words_of
from eafl_flower.conformance import check_codec
from eafl_flower.core.rng import generator
from eafl_flower.errors import CodecError, ConfigError
from eafl_flower.types import ArraySpec, layout_of

RNG = generator(1, "unused")


def blocks(num, *purpose):
    """Blocks near to one of twenty shapes."""
    rng = generator(1, "blocks", *purpose)
    shapes = generator(1, "shapes").standard_normal((20, 256))
    near = shapes[rng.integers(0, 20, num)] + 0.5 * rng.standard_normal((num, 256))
    return (near * rng.lognormal(size=(num, 1))).astype(np.float32)


BOOKS = {mode: fit_codebook(mode, blocks(600), generator(1, "fit", mode)) for mode in ("rvq", "literal")}


@pytest.mark.parametrize("mode", BOOKS)
def test_it_keeps_the_contract_of_a_codec(mode):
    check_codec(LQGCMCodec(mode=mode, codebook=BOOKS[mode]), is_idempotent=False)


@pytest.mark.parametrize("mode", BOOKS)
def test_a_gain_times_a_shape_of_the_codebook_is_found(mode):
    shapes, rng = Shapes(BOOKS[mode]), generator(1, "words", mode)
    word = np.array([int(rng.integers(0, 256))])
    if mode == "literal":
        word |= int(rng.integers(0, 2**32)) << 8
    shape = shapes.expand(word)[0]
    vector = np.concatenate([np.zeros(256), 2.0 * shape / np.linalg.norm(shape)]).astype(np.float32)
    tuples = shapes.pursue(vector.copy(), num_values=512, num_tuples=1, scale=2.0**-10)
    decoded = np.zeros(512, np.float32)
    shapes.add(decoded, tuples, tuples["gain"].astype(float) * 2.0**-10)
    # greedy stages may settle for a neighbour, but only for one that is near
    assert np.sum((decoded - vector) ** 2) < 0.5 * np.sum(vector**2)
    if mode == "literal":
        assert int(words_of(tuples)[0]) & 0xFF == int(word[0]) & 0xFF


@pytest.mark.parametrize("mode", BOOKS)
def test_gains_are_those_of_least_squares_so_each_tuple_takes_energy_off(mode):
    shapes, values = Shapes(BOOKS[mode]), blocks(12, "gains").reshape(-1)
    rest = values.astype(float).reshape(-1, 256)
    scale = shapes.scale_for(float(np.abs(values).max()))
    tuples = shapes.pursue(values.copy(), num_values=values.size, num_tuples=30, scale=scale)
    assert tuples.size == 30
    for n in range(30):
        block, shape = int(tuples["block"][n]), shapes.expand(words_of(tuples[n : n + 1]))[0]
        before = np.sum(rest[block] ** 2)
        gain = float(tuples["gain"][n]) * scale
        assert gain == pytest.approx(rest[block] @ shape / (shape @ shape), rel=2**-10)
        rest[block] -= gain * shape
        assert np.sum(rest[block] ** 2) < before


def test_a_trained_codebook_codes_what_it_was_trained_for_better_than_signs():
    test = blocks(40, "test").reshape(-1)
    errors = {}
    for name, codec in {"rvq": LQGCMCodec(mode="rvq", codebook=BOOKS["rvq"]), "sign": LQGCMCodec()}.items():
        errors[name] = codec.encode(codec.init(layout_of((test,))), (test,), RNG)[0].error
    assert errors["rvq"] < errors["sign"]


@pytest.mark.parametrize("mode", BOOKS)
def test_a_codebook_comes_back_from_its_file(mode, tmp_path):
    write_codebook(BOOKS[mode], tmp_path / "book")
    again = read_codebook(tmp_path / "book")
    assert again.mode == mode
    assert again.sha256 == BOOKS[mode].sha256
    assert np.array_equal(again.shapes, BOOKS[mode].shapes)


def test_payloads_of_another_codebook_are_refused():
    other = fit_codebook("rvq", blocks(600), generator(1, "another fit"))
    sender, receiver = (LQGCMCodec(mode="rvq", codebook=b) for b in (BOOKS["rvq"], other))
    arrays = (blocks(3, "x"),)
    payload = sender.encode(sender.init(layout_of(arrays)), arrays, RNG)[0].payload
    with pytest.raises(CodecError, match="same model and codebook"):
        receiver.decode(receiver.init(layout_of(arrays)), payload)


def broken_files(tmp_path):
    shapes = BOOKS["literal"].shapes
    step = np.array([0.01], np.float32)
    spoiled = shapes.copy()
    spoiled[3, 4] = np.nan
    tensors = {
        "of other sizes": {"shapes": shapes[:100]},
        "without shapes": {"step": step},
        "without a step": {"shapes": shapes},
        "with NaN": {"shapes": spoiled, "step": step},
        "with large values": {"shapes": 100 * shapes, "step": step},
        "of doubles": {"shapes": shapes.astype(np.float64), "step": step},
        "with an empty step": {"shapes": shapes, "step": step[:0]},
        "too large": {"shapes": np.zeros((3000, 256), np.float32)},
    }
    for name, content in tensors.items():
        save_file(content, tmp_path / name)
    (tmp_path / "of other bytes").write_bytes(b"\x80\x04K\x01." * 100)
    (tmp_path / "empty").write_bytes(b"")
    return [*tensors, "of other bytes", "empty", "missing"]


def test_files_that_are_no_codebooks_are_refused(tmp_path):
    for name in broken_files(tmp_path):
        with pytest.raises(ConfigError, match="codebook"):
            read_codebook(tmp_path / name)


def test_modes_want_their_own_codebooks():
    for settings in ({"codebook": BOOKS["rvq"]}, {"mode": "literal", "codebook": BOOKS["rvq"]}, {"mode": "literal"}):
        with pytest.raises(ConfigError, match="the codebook is"):
            LQGCMCodec(**settings)
    with pytest.raises(ConfigError, match="a codebook has shapes"):
        Codebook(np.zeros((2, 2), np.float32))


def test_kmeans_finds_centres_that_are_there():
    centres = 10 * generator(1, "centres").standard_normal((256, 8))
    samples = np.repeat(centres, 20, axis=0) + 0.01 * generator(1, "spread").standard_normal((5120, 8))
    found = kmeans(samples.astype(np.float32), generator(1, "k-means"), iterations=50)
    # a start of random samples misses some centres, which then share one; most are found to the spread's error
    distance = np.sqrt(((centres[:, None] - found[None]) ** 2).sum(axis=2)).min(axis=1)
    assert np.mean(distance < 0.02) > 0.4


def test_nearest_is_brute_force_and_takes_the_first_of_equals():
    rng = generator(1, "nearest")
    samples, centres = (
        rng.standard_normal((5000, 6)).astype(np.float32),
        rng.standard_normal((256, 6)).astype(np.float32),
    )
    distances = ((samples[:, None].astype(float) - centres) ** 2).sum(axis=2)
    found = nearest(samples, centres)
    assert np.allclose(distances[np.arange(5000), found], distances.min(axis=1), rtol=1e-4, atol=1e-5)
    assert nearest(samples[:5], np.repeat(centres[:1], 256, axis=0)).tolist() == [0] * 5


@pytest.mark.parametrize("size", [1, 255, 256, 300])
def test_models_of_any_size_are_coded(size):
    layout = (ArraySpec((size,), "float32"),)
    for mode, book in BOOKS.items():
        codec = LQGCMCodec(mode=mode, codebook=book)
        arrays = (generator(1, size).standard_normal(size).astype(np.float32),)
        encoded, _ = codec.encode(replace(codec.init(layout), counter=1), arrays, RNG)
        decoded, _ = codec.decode(codec.init(layout), encoded.payload)
        assert layout_of(decoded) == layout
