"""Encoders that were made on this machine: where they are, and how they come to be there whole.

Each is a folder in the form of ``transformers`` (``config.json``, ``model.safetensors``, ``tokenizer.json``, ...) with
a ``training.json``, which says what it was made from. Its name ends in a hash of seed, settings and corpus.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eafl_flower.core.caches import user_cache
from eafl_flower.core.durable import make_folder, sync_folder
from eafl_flower.errors import DataError
from eafl_flower.models.encoder.settings import EncoderSettings

RECORD = "training.json"
_DEFAULT = EncoderSettings()


@dataclass(frozen=True, kw_only=True)
class MadeEncoder:
    """A folder with an encoder, and what its ``training.json`` says."""

    path: Path
    training: dict[str, Any]


def folder_of(seed: int, settings: EncoderSettings, corpus_sha256: str) -> Path:
    """Return the folder of an encoder, which need not be there."""
    key = json.dumps([seed, settings.values(), corpus_sha256], sort_keys=True)
    name = f"{settings.title.replace(' ', '')}-seed{seed}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    return user_cache("encoders") / name


def made_encoders() -> tuple[MadeEncoder, ...]:
    """Return all encoders that were made here, by name; folders that are not whole are passed over."""
    found = []
    for path in sorted(user_cache("encoders").glob("[!.]*/")):
        try:
            training = json.loads((path / RECORD).read_bytes())
            if all((path / name).is_file() for name in training["files"]):
                found.append(MadeEncoder(path=path, training=training))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return tuple(found)


def encoder_path(seed: int = 1, *, settings: EncoderSettings = _DEFAULT) -> Path:
    """Return the folder of the encoder that ``eafl encoder make`` made, for ``from_pretrained`` of ``transformers``.

    Parameters
    ----------
    seed, settings
        With which it was made.

    Raises
    ------
    DataError
        If it was not made here, or from several corpora.

    Examples
    --------
    >>> AutoModel.from_pretrained(encoder_path(seed=1))  # doctest: +SKIP
    """
    found = [
        made.path
        for made in made_encoders()
        if made.training.get("seed") == seed and made.training.get("settings") == settings.values()
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"encoders of seed {seed} were made from several corpora: give the path of one of "
            f"{', '.join(map(str, found))}"
        )
    changed = {name: value for name, value in settings.values().items() if value != _DEFAULT.values()[name]}
    options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in changed.items())
    raise DataError(
        f"no encoder {settings.title} of seed {seed} has been made here: run `eafl encoder make --seed {seed}{options}"
        "` (about a quarter of an hour), or give the path or hub name of another one"
    )


def keep(path: Path, save: Callable[[Path], None], training: dict[str, Any]) -> None:
    """Write an encoder by ``save`` into a folder that appears at ``path`` when it is whole; one that is there stays.

    The hashes of its files are added to what is written of ``training``.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    make_folder(path.parent)
    unfinished = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        save(unfinished)
        files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(unfinished.iterdir())}
        (unfinished / RECORD).write_text(json.dumps(training | {"files": files}, indent=2) + "\n", encoding="utf-8")
        mask = _umask()
        for file in unfinished.iterdir():
            file.chmod(0o666 & ~mask)  # safetensors writes for its owner's eyes alone
            with file.open("rb") as content:
                os.fsync(content.fileno())
        sync_folder(unfinished)
        unfinished.chmod(0o777 & ~mask)
        try:
            unfinished.rename(path)
        except OSError:
            if not path.is_dir():
                raise  # else another process was faster
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    sync_folder(path.parent)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
