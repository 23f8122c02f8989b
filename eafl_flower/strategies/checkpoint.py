"""Checkpoints of the server: one file, replaced atomically, that holds everything a run needs to go on."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.numpy

from eafl_flower.errors import CheckpointError
from eafl_flower.results.atomic import make_folder, sync_folder
from eafl_flower.state import flatten, restore
from eafl_flower.types import Array

T = TypeVar("T")
FORMAT = "eafl-flower checkpoint 4"


def write_checkpoint(path: Path, state: Any) -> None:
    """Write ``state`` to ``path``; at any moment the file is either the old or the new one, whole.

    It is its owner's alone: the secret of a deployment's session keys may be in it.
    """
    arrays, tree = flatten(state)
    stored = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    text = json.dumps(tree)
    data = safetensors.numpy.save(stored, metadata={"format": FORMAT, "state": text, "sha256": _sha256(stored, text)})
    make_folder(path.parent)
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)  # of a process that was killed; whatever rights it has would stay
    with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def read_checkpoint(path: Path, template: T) -> T:
    """Read a state written by ``write_checkpoint``; ``template`` gives its classes.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or of another format.
    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError as error:
        msg = f"no checkpoint at {path}: the run was started without checkpoints, or ended before its first one"
        raise CheckpointError(msg) from error
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        msg = f"checkpoint {path} cannot be read ({error}): damaged? start the run afresh"
        raise CheckpointError(msg) from error
    if header.get("format") != FORMAT:
        msg = f"{path} is not a checkpoint of this version of eafl-flower (expected format {FORMAT!r})"
        raise CheckpointError(msg)
    text = header.get("state", "")
    if header.get("sha256") != _sha256(arrays, text):
        msg = f"checkpoint {path} is damaged: its content does not match its checksum"
        raise CheckpointError(msg)
    return restore(template, arrays, json.loads(text))


def _sha256(arrays: Mapping[str, Array], text: str) -> str:
    sha = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.reshape(-1).view(np.uint8).data)
    return sha.hexdigest()
