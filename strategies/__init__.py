"""The strategies of ``eafl_flower.strategies``, the same objects, beside the presets that run them."""

from eafl_flower.strategies import *  # noqa: F403  # the package's list, whole
from eafl_flower.strategies import __all__  # noqa: F401
