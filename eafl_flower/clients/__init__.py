"""Flower clients: NumPyClients as a ClientApp, and mods for payloads and for state that lasts."""

from typing import TYPE_CHECKING

from eafl_flower.lazy import names_of

if TYPE_CHECKING:
    from eafl_flower.clients.public import *
else:
    __getattr__, __dir__ = names_of(__name__)
