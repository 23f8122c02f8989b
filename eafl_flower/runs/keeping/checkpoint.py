"""Checkpoints of the server: one file, replaced atomically, that holds everything a run needs to go on."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.numpy

from eafl_flower.core.durable import make_folder, write_private
from eafl_flower.core.state import flatten, restore
from eafl_flower.errors import CheckpointError
from eafl_flower.types import Array

T = TypeVar("T")
FORMAT = "eafl-flower checkpoint 8"
VALUES = "values"
Places = dict[str, tuple[str, tuple[int, ...], int]]  # of each array: dtype, shape, and where its values begin


def write_checkpoint(path: Path, state: Any) -> None:
    """Write ``state`` to ``path``; at any moment the file is either the old or the new one, whole.

    It is its owner's alone: the secret of a deployment's session keys may be in it.

    Raises
    ------
    CheckpointError
        If it cannot be written, as on a full disk.
    """
    arrays, tree = flatten(state)
    values, places = _pack(arrays)
    text = json.dumps({"state": tree, "arrays": places})
    header = {"format": FORMAT, "text": text, "sha256": _sha256(text, values)}
    data = safetensors.numpy.save({VALUES: np.frombuffer(values, np.uint8)}, header)
    try:
        _replace(path, data)
    except OSError as error:
        old = "the one before it is whole" if path.exists() else "there is none before it"
        msg = f"checkpoint {path} cannot be written ({error.strerror or error}), {old}: make room or mend the folder"
        raise CheckpointError(msg) from error


def _replace(path: Path, data: bytes) -> None:
    make_folder(path.parent)
    write_private(path, data, durable=True)


@dataclass(frozen=True, kw_only=True)
class StoredState:
    """A whole state of this format, not yet of any class."""

    path: Path
    tree: Any
    arrays: dict[str, Array]

    def restore(self, template: T) -> T:
        """Return the state; ``template`` gives its classes. Raises ``CheckpointError`` if it is of others."""
        return restore(template, self.arrays, self.tree)

    def restore_field(self, name: str, template: T) -> T:
        """Return one field of the state, whatever the classes of the others."""
        try:
            tree = self.tree["fields"][name]
        except (KeyError, TypeError) as error:
            msg = f"checkpoint {self.path} does not hold the state of a run: it has no {name}"
            raise CheckpointError(msg) from error
        return restore(template, self.arrays, tree)


def read_checkpoint(path: Path, template: T) -> T:
    """Read a state written by ``write_checkpoint``; ``template`` gives its classes.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or of another format.
    """
    return open_checkpoint(path).restore(template)


def open_checkpoint(path: Path) -> StoredState:
    """Read a state written by ``write_checkpoint`` without knowing its classes; raises as ``read_checkpoint``."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            known = header.get("format") == FORMAT
            values = file.get_tensor(VALUES) if known else np.zeros(0, np.uint8)
    except FileNotFoundError as error:
        msg = f"no checkpoint at {path}: the run was started without checkpoints, or ended before its first one"
        raise CheckpointError(msg) from error
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        msg = f"checkpoint {path} cannot be read ({error}): damaged? start the run afresh"
        raise CheckpointError(msg) from error
    if not known:
        found = str(header.get("format", "none"))[:80]
        msg = (
            f"{path} is not a checkpoint of this version of eafl-flower (expected format {FORMAT!r}, found {found!r}): "
            "resume with the version that made it, or start the run afresh"
        )
        raise CheckpointError(msg)
    text = header.get("text", "")
    if header.get("sha256") != _sha256(text, values.data):
        msg = f"checkpoint {path} is damaged: its content does not match its checksum"
        raise CheckpointError(msg)
    try:
        stored = json.loads(text)
        return StoredState(path=path, tree=stored["state"], arrays=_unpack(values, stored["arrays"]))
    except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError) as error:
        msg = f"checkpoint {path} is damaged: {error or type(error).__name__}"
        raise CheckpointError(msg) from error


def _pack(arrays: Mapping[str, Array]) -> tuple[bytes, Places]:
    """Return the values of all arrays in one piece, and where in it each is.

    One piece, because there may be ten thousands of arrays. The same values are stored once: many clients hold the
    same whole arrays.
    """
    begins: dict[bytes, int] = {}
    size, places = 0, {}
    for name, array in arrays.items():
        values = array.tobytes()
        begin = begins.setdefault(values, size)
        size += len(values) if begin == size else 0
        places[name] = array.dtype.str, array.shape, begin
    return b"".join(begins), places


def _unpack(values: Array, places: Places) -> dict[str, Array]:
    """Return the arrays packed by ``_pack``, each with memory of its own: states may be changed in place."""
    arrays = {}
    for name, (kind, shape, begin) in places.items():
        dtype = np.dtype(kind)
        end = begin + math.prod(shape) * dtype.itemsize
        arrays[name] = values[begin:end].copy().view(dtype).reshape(shape)
    return arrays


def _sha256(text: str, values: bytes | memoryview) -> str:
    sha = hashlib.sha256(text.encode())
    sha.update(values)
    return sha.hexdigest()
