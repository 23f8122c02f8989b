import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, DataError

torch = pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[torch]'")

from eafl_flower.data.latents.images import ImageSet, image_numbers, split_images  # noqa: E402
from eafl_flower.models.latents.extraction import extract  # noqa: E402
from eafl_flower.models.latents.families import kind_of, new_network  # noqa: E402
from eafl_flower.models.latents.frozen import FrozenEncoder  # noqa: E402
from eafl_flower.models.latents.view import native  # noqa: E402

RNG = generator(1, "extraction")
IMAGES = ImageSet(
    name="noise",
    pixels=RNG.integers(0, 256, (60, 8, 8, 1)).astype(np.uint8),
    labels=RNG.integers(0, 3, 60),
    tests=np.arange(60) % 3 == 0,
)
ROWS = split_images(IMAGES, seed=1, encoder_share=0.2)


def frozen(name="cnn-8", change=lambda z: z):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = new_network(kind_of(name), side=8, channels=1).eval()
    return FrozenEncoder(
        name=name, features=lambda x: change(network(x)), view=native(IMAGES.pixels), trained_on="nothing"
    ), network


def test_latents_are_those_of_a_direct_forward_pass():
    encoder, network = frozen()
    latents = extract(encoder, IMAGES, ROWS, batch_size=60)
    for split, rows in latents.splits.items():
        members = getattr(ROWS, split)
        images = torch.from_numpy(IMAGES.pixels[members]).permute(0, 3, 1, 2) / 255 * 2 - 1
        np.testing.assert_allclose(rows.absolute, network(images).detach().numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(rows.labels, IMAGES.labels[members])
        np.testing.assert_array_equal(rows.images, image_numbers(IMAGES.pixels[members]))
    assert (latents.encoder, latents.data, latents.trained_on) == ("cnn-8", "noise", "nothing")


@pytest.mark.parametrize("name", ["cnn-8", "mlp-8", "vit-8"])
def test_latents_are_the_same_each_time_and_almost_for_each_batch_size(name):
    encoder, _ = frozen(name)
    first, again = (extract(encoder, IMAGES, ROWS, batch_size=7) for _ in range(2))
    other = extract(encoder, IMAGES, ROWS, batch_size=1)
    for split in first.splits:
        np.testing.assert_array_equal(first.splits[split].absolute, again.splits[split].absolute)
        np.testing.assert_allclose(first.splits[split].absolute, other.splits[split].absolute, rtol=1e-4, atol=1e-5)


def test_how_long_it_takes_is_told_once():
    told = []
    extract(frozen()[0], IMAGES, ROWS, batch_size=5, on_estimate=told.append)
    assert len(told) == 1 and told[0] > 0


def test_what_is_no_feature_is_refused():
    with pytest.raises(DataError, match="cnn-8 on noise, train: 28 of 28 latents are not finite"):
        extract(frozen(change=lambda z: z * float("nan"))[0], IMAGES, ROWS)
    with pytest.raises(ConfigError, match=r"cnn-8 gives \(8,\) of 28 images, expected \(28, d\)"):
        extract(frozen(change=lambda z: z[0])[0], IMAGES, ROWS)
    with pytest.raises(ConfigError, match=r"does not take images of 8 x 8 pixels and 1 channels .* try another side"):
        extract(frozen(change=lambda z: z @ torch.zeros(3, 3))[0], IMAGES, ROWS)
    with pytest.raises(ConfigError, match="batch size 0"):
        extract(frozen()[0], IMAGES, ROWS, batch_size=0)
