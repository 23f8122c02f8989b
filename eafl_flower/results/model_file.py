"""Arrays by key in a file, with text about them; numpy and safetensors are imported by whoever reads or writes one."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from eafl_flower.core.durable import write_atomically
from eafl_flower.errors import CheckpointError
from eafl_flower.results.stored import read_file

if TYPE_CHECKING:
    from eafl_flower.types import Array


def write_arrays(path: Path, arrays: "Mapping[str, Array]", metadata: Mapping[str, str]) -> None:
    """Write arrays, and text about them."""
    import numpy as np
    from safetensors.numpy import save

    # safetensors writes the buffer of a transposed array as it lies in memory, that is: wrongly
    ordered = {key: np.asarray(array, order="C") for key, array in arrays.items()}
    write_atomically(path, save(ordered, metadata=dict(metadata)))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the text about the arrays; raises ``CheckpointError`` if the file is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        msg = f"{path} cannot be read: {error}"
        raise CheckpointError(msg) from error


def read_arrays(path: Path) -> "dict[str, Array]":
    """Return the arrays; raises ``CheckpointError`` if the file is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(read_file(path)))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        msg = f"{path} cannot be read: {error}"
        raise CheckpointError(msg) from error
