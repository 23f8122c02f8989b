"""Data sets as clients with rows: traffic, trips, networks, sensors, images, or a file of one's own."""

from typing import TYPE_CHECKING

from eafl_flower.lazy import names_of

if TYPE_CHECKING:
    from eafl_flower.data.public import *
else:
    __getattr__, __dir__ = names_of(__name__)
