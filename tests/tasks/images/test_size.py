import pytest

from eafl_flower.errors import ConfigError
from eafl_flower.tasks.images.size import EXPECTED, image_size, size_problem


def test_a_number_of_features_tells_the_size_of_square_images():
    for side in range(1, 200):
        assert image_size("", 3 * side * side) == (side, side, 3)
        assert image_size("", side * side) == (side, side, 1)


def test_a_size_that_is_told_must_be_that_of_the_features():
    assert image_size("28x36x1", 1008) == (28, 36, 1)
    with pytest.raises(ConfigError, match=r"such images have 3072 values, the data have 64 features"):
        image_size("32x32x3", 64)
    with pytest.raises(
        ConfigError, match=r"10 features are no square images of 3 channels or 1; set image-size, as in"
    ):
        image_size("", 10)


@pytest.mark.parametrize(
    "text", ["32", "32x32", "32x32x3x1", "0x32x3", "32 x 32 x 3", "axbxc", "-1x2x3", "٣x3x1", "32x32x3\n"]
)
def test_other_texts_are_no_sizes(text):
    assert size_problem(text) == EXPECTED
    with pytest.raises(ConfigError, match="expected rows, columns and channels"):
        image_size(text, 9)
