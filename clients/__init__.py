"""The clients of ``eafl_flower.clients``, the same objects, beside the configurations of the nodes."""

from eafl_flower.clients import *  # noqa: F403  # the package's list, whole
from eafl_flower.clients import __all__  # noqa: F401
