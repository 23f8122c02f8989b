import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError

pytest.importorskip("torch", reason="needs torch: pip install 'eafl-flower[torch]'")

from eafl_flower.models.latents.view import View, native

COLOURS = generator(1, "view").integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
MEAN, SD = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)


def test_images_of_the_right_size_are_only_scaled():
    seen = View(side=8, mean=MEAN, sd=SD)(COLOURS, 255).numpy()
    expected = (COLOURS / 255 - MEAN) / SD
    np.testing.assert_allclose(seen.transpose(0, 2, 3, 1), expected, atol=1e-6)


def test_grey_images_are_repeated_for_three_channels():
    grey = COLOURS[..., :1]
    seen = View(side=8, mean=(0.5,) * 3, sd=(0.5,) * 3)(grey, 255).numpy()
    for channel in range(3):
        np.testing.assert_array_equal(seen[:, channel], native(grey)(grey, 255)[:, 0].numpy())


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
def test_an_even_image_is_even_at_every_size(interpolation):
    even = np.full((1, 8, 8, 3), 51, np.uint8)
    seen = View(side=20, resized=24, mean=MEAN, sd=SD, interpolation=interpolation)(even, 255)
    assert seen.shape == (1, 3, 20, 20)
    expected = (0.2 - np.array(MEAN)) / SD
    np.testing.assert_allclose(seen.numpy(), np.broadcast_to(expected[:, None, None], seen.shape), atol=1e-6)


def test_the_middle_is_cut_out():
    seen = View(side=4, resized=8, mean=(0.0,) * 3, sd=(1.0,) * 3)(COLOURS, 255).numpy()
    np.testing.assert_allclose(seen.transpose(0, 2, 3, 1), COLOURS[:, 2:6, 2:6] / 255, atol=1e-6)


def test_each_pixel_becomes_a_square_of_its_own_by_the_nearest():
    seen = View(side=16, mean=(0.0,) * 3, sd=(1.0,) * 3, interpolation="nearest")(COLOURS, 255).numpy()
    np.testing.assert_allclose(seen.transpose(0, 2, 3, 1), COLOURS.repeat(2, 1).repeat(2, 2) / 255, atol=1e-6)


def test_overshoot_of_bicubic_resizing_is_cut_off():
    edge = np.zeros((1, 8, 8, 1), np.uint8)
    edge[:, :, 4:] = 255
    seen = View(side=64, mean=(0.0,), sd=(1.0,))(edge, 255)
    assert (float(seen.min()), float(seen.max())) == (0, 1)


def test_what_no_encoder_wants_is_refused():
    with pytest.raises(ConfigError, match="images of 8 x 7 pixels of 3 channels: the encoder takes square ones"):
        View(side=8, mean=MEAN, sd=SD)(COLOURS[:, :, :7], 255)
    with pytest.raises(ConfigError, match="of 1 or 1 channels"):
        View(side=8, mean=(0.5,), sd=(0.5,))(COLOURS, 255)
    with pytest.raises(ConfigError, match="side 0"):
        View(side=0, mean=MEAN, sd=SD)
    with pytest.raises(ConfigError, match="sd above 0"):
        View(side=8, mean=MEAN, sd=(1.0, 0.0, 1.0))
    with pytest.raises(ConfigError, match='interpolation "lanczos": expected bicubic, bilinear, nearest'):
        View(side=8, mean=MEAN, sd=SD, interpolation="lanczos")
