"""Size of the images behind rows of pixels."""

import math
import re
from typing import NamedTuple

from eafl_flower.errors import ConfigError

EXPECTED = 'expected rows, columns and channels, as in "32x32x3", or nothing for square images of 3 channels or 1'


class ImageSize(NamedTuple):
    """Rows, columns and channels; a row of pixels has them in this order."""

    rows: int
    columns: int
    channels: int


def size_problem(text: str) -> str:
    """Return what is wrong with the text of a size, in words, unless nothing is."""
    return "" if not text or re.fullmatch(r"[1-9]\d{0,5}(x[1-9]\d{0,5}){2}", text, re.ASCII) else EXPECTED


def image_size(text: str, num_features: int) -> ImageSize:
    """Return the size that a text tells or, if it is empty, that of square images of three channels or of one.

    No number of features is both: there are no whole numbers with a² = 3 b².

    Raises
    ------
    ConfigError
        If the text is no size, images of that size have another number of values, or no square images have that number.

    Examples
    --------
    >>> image_size("", 3072), image_size("4x6x1", 24)
    (ImageSize(rows=32, columns=32, channels=3), ImageSize(rows=4, columns=6, channels=1))
    """
    if problem := size_problem(text):
        msg = f'image-size = "{text}": {problem}'
        raise ConfigError(msg)
    if text:
        size = ImageSize(*map(int, text.split("x")))
        if math.prod(size) != num_features:
            values = math.prod(size)
            msg = f'image-size = "{text}": such images have {values} values, the data have {num_features} features'
            raise ConfigError(msg)
        return size
    for channels in (3, 1):
        side = math.isqrt(num_features // channels)
        if side * side * channels == num_features:
            return ImageSize(side, side, channels)
    msg = f'{num_features} features are no square images of 3 channels or 1; set image-size, as in "28x36x1"'
    raise ConfigError(msg)
