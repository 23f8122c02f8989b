"""Where a small network computes: numpy on the CPU, torch on CUDA, one spelling for both.

Both libraries share the operators and functions the tasks use (``@``, ``+=``, ``.T``, ``exp``, ``matmul``
with ``out``); a backend adds the two transfers. On the CPU numpy takes a third of torch's time for the
batches of a vehicle, because a torch operation costs more to call than such a batch to multiply.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from eafl_flower.errors import ConfigError
from eafl_flower.types import Array

DEVICES = ("cpu", "cuda", "auto")


@dataclass(frozen=True)
class Backend:
    """A module of array functions and the way to its arrays and back."""

    device: str
    functions: Any
    put: Callable[[Array], Any]
    get: Callable[[Any], Array]


@lru_cache
def backend_for(device: str) -> Backend:
    """Return the backend of ``"cpu"``, ``"cuda"`` or ``"auto"`` (CUDA if torch is installed and finds a GPU).

    Raises
    ------
    ConfigError
        If the device is unknown, or CUDA is asked for and there is none.
    ModuleNotFoundError
        If CUDA is asked for without torch.
    """
    if device not in DEVICES:
        msg = f'device = "{device}": expected one of {", ".join(DEVICES)}'
        raise ConfigError(msg)
    if device != "cpu":
        try:
            import torch
        except ModuleNotFoundError as error:
            if device == "cuda":
                msg = "device = \"cuda\" needs torch: pip install 'eafl-flower[torch]'"
                raise ModuleNotFoundError(msg, name="torch") from error
        else:
            if torch.cuda.is_available():
                return torch_backend("cuda")
            if device == "cuda":
                msg = f'device = "cuda", but torch {torch.__version__} finds no GPU here: use "cpu" or "auto"'
                raise ConfigError(msg)
    return Backend("cpu", np, _same, _same)


def torch_backend(device: str) -> Backend:
    """Return the backend of a torch device."""
    import torch

    return Backend(device, torch, lambda a: torch.tensor(a, device=device), lambda t: t.cpu().numpy())


def _same(array: Array) -> Array:
    return array
