"""Latents in files of torch, as others have them, beside the formats of ``eafl_flower.data.latents``.

A file (``.pt``, ``.pth``) holds a dict of ``absolute``, a tensor ``(n, d)``, and ``labels`` ``(n,)`` or, for all
splits in one file, a dict of such dicts by split. It is read with ``weights_only=True``: no code of it runs.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eafl_flower.core.words import shown
from eafl_flower.data.latents.files import READERS, Content, Reader, latents_of, latents_of_splits
from eafl_flower.data.latents.values import SPLITS, Latents
from eafl_flower.errors import DataError
from eafl_flower.models.extras import require
from eafl_flower.types import Array


def read_latents(path: str | os.PathLike[str]) -> Latents:
    """Read latents of a file of safetensors, npz or torch (``{"train": {"absolute": ..., "labels": ...}, ...}``).

    Raises
    ------
    DataError
        As ``eafl_flower.data.latents.read_latents``.
    ModuleNotFoundError
        If the file is one of torch, and torch is not installed.
    """
    return latents_of(Path(path), ALL_READERS)


def read_split_files(folder: str | os.PathLike[str], encoder: str) -> Latents:
    """Read latents of one file for each split, ``FOLDER/SPLIT/ENCODER.pt`` or of another extension.

    Raises
    ------
    DataError
        As ``eafl_flower.data.latents.read_latents``.
    ModuleNotFoundError
        If a file is one of torch, and torch is not installed.
    """
    return latents_of_splits(Path(folder), encoder, ALL_READERS)


def _read_torch(path: Path) -> Content:
    require(f"{path}, a file of torch,", "torch", extra="torch")
    import torch

    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    # torch fails in many ways at bytes that were changed
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = f"{path} cannot be read as tensors of torch, it is damaged or something else ({shown(reason)})"
        raise DataError(msg) from error
    if not isinstance(found, Mapping):
        msg = f"{path} holds a {type(found).__name__}, expected a dict of absolute and labels, or one for each split"
        raise DataError(msg)
    arrays: dict[str, Array] = {}
    texts = {}
    for name, value in found.items():
        if isinstance(value, Mapping) and name in SPLITS:
            arrays |= {f"{name}.{kind}": _array(path, f"{name}.{kind}", tensor) for kind, tensor in value.items()}
        elif isinstance(value, str):
            texts[str(name)] = value
        else:
            arrays[str(name)] = _array(path, str(name), value)
    return arrays, texts


def _array(path: Path, name: str, value: Any) -> Array:
    import torch

    try:
        tensor = torch.as_tensor(value)
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy(force=True)
    except (TypeError, ValueError, RuntimeError) as error:
        what = "tensor that is not dense" if isinstance(value, torch.Tensor) else type(value).__name__
        raise DataError(
            f"{path}: {shown(name)} is a {what}, expected a tensor with a number for each element"
        ) from error


ALL_READERS: Mapping[str, Reader] = {**READERS, ".pt": _read_torch, ".pth": _read_torch}
