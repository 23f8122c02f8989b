import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.latents.images import ImageSet, image_numbers, load_image_set, split_images
from eafl_flower.data.latents.pixels import pixel_accuracy
from eafl_flower.errors import ConfigError, DataError

RNG = generator(1, "images")
TESTS = np.arange(50) % 5 == 0
IMAGES = ImageSet(
    name="noise",
    pixels=RNG.integers(0, 256, (50, 4, 4, 3)).astype(np.uint8),
    labels=RNG.integers(0, 2, 50),
    tests=TESTS,
)
PARTS = ("encoders", "train", "val", "test")


def members(rows):
    return {part: getattr(rows, part) for part in PARTS}


@pytest.mark.parametrize("share", [0.0, 0.5, 0.85])
def test_every_image_is_for_one_thing_and_the_publishers_tests_are_tests(share):
    parts = members(split_images(IMAGES, seed=1, encoder_share=share))
    assert sorted(np.concatenate([*parts.values()])) == list(range(50))
    assert sorted(parts["test"]) == list(np.flatnonzero(TESTS))
    assert (len(parts["encoders"]), len(parts["val"])) == (round(40 * share), 4)


def test_the_seed_decides_and_the_share_moves_no_test():
    first, again, other = (members(split_images(IMAGES, seed=seed, encoder_share=0.5)) for seed in (1, 1, 2))
    assert all(np.array_equal(first[part], again[part]) for part in PARTS)
    assert not np.array_equal(first["train"], other["train"])
    np.testing.assert_array_equal(split_images(IMAGES, seed=1, encoder_share=0.1).test, first["test"])


def test_shares_that_leave_nothing_are_refused():
    for share in (-0.1, 0.9, float("nan")):
        with pytest.raises(ConfigError, match=r"expected at least 0 and below 0\.9"):
            split_images(IMAGES, seed=1, encoder_share=share)
    few = ImageSet(name="few", pixels=IMAGES.pixels[:4], labels=IMAGES.labels[:4], tests=TESTS[:4])
    with pytest.raises(DataError, match="few has 4 images: too few"):
        split_images(few, seed=1, encoder_share=0.5)


def test_a_number_tells_images_apart_by_their_pixels_and_shape():
    numbers = image_numbers(IMAGES.pixels)
    assert len(set(numbers)) == len(IMAGES)
    changed = IMAGES.pixels.copy()
    changed[7, 1, 2, 0] ^= 1
    assert list(np.flatnonzero(image_numbers(changed) != numbers)) == [7]
    np.testing.assert_array_equal(image_numbers(IMAGES.pixels[::-1]), numbers[::-1])
    assert not (image_numbers(IMAGES.pixels.reshape(50, 2, 8, 3)) == numbers).any()


def test_a_linear_classifier_finds_what_is_linear_in_pixels_and_nothing_in_noise():
    rows = split_images(IMAGES, seed=1, encoder_share=0.0)
    bright = IMAGES.pixels.copy()
    bright[..., 0] = 255 * IMAGES.labels[:, None, None]
    linear = ImageSet(name="linear", pixels=bright, labels=IMAGES.labels, tests=TESTS)
    assert pixel_accuracy(linear, rows) == 1
    # of 10 tests, by chance at least 9 right: 11 / 1024; the seed is fixed
    assert pixel_accuracy(IMAGES, rows) < 0.9


def test_the_digits_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn: pip install scikit-learn")
    images = load_image_set("digits")
    np.testing.assert_array_equal(images.pixels.reshape(-1, 64), datasets.load_digits().data)
    assert len(split_images(images, seed=1, encoder_share=0.5).test) == 360
    assert pixel_accuracy(images, split_images(images, seed=1, encoder_share=0.5)) > 0.9


def test_the_publishers_test_images_of_cifar_are_test_images(real_data):
    if not (real_data / "cifar10").is_dir():
        pytest.skip("CIFAR-10: put cifar10/cifar10_train.npz and cifar10_test.npz into EAFL_DATA_DIR")
    images = load_image_set("cifar10")
    with np.load(real_data / "cifar10" / "cifar10_test.npz") as file:
        np.testing.assert_array_equal(images.pixels[images.tests], file["images"])


def test_other_images_are_refused():
    with pytest.raises(ConfigError, match='images "mnist": expected digits or cifar10'):
        load_image_set("mnist")
