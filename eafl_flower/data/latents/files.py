"""Files of latents: safetensors, or numpy's npz.

A file has, for each split ``train``, ``val`` or ``test`` that is in it, the arrays ``SPLIT.absolute``, floats
``(n, d)``, ``SPLIT.labels``, integers ``(n,)``, and ``SPLIT.images``, integers ``(n,)``, which may be missing. In
safetensors text stands in the metadata, in npz in arrays of no dimension: ``version`` ("1"), ``encoder``, ``data``,
``trained_on``, and ``sha256``, a digest of all that. A file without any of these texts is one of somebody else's: it
needs only latents and labels, and what the rest is called is not looked at.

One file for each split, ``FOLDER/SPLIT/ENCODER.EXTENSION`` with ``absolute`` and ``labels``, is read, too: so latents
are cached, as files of torch, in the code of github.com/SPAICOM/semantic-alignment-mimo (of arXiv 2507.16680).
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from eafl_flower.core.durable import make_folder, write_atomically
from eafl_flower.core.words import shown
from eafl_flower.data.latents.values import SPLITS, LatentRows, Latents
from eafl_flower.data.tables.files import listed
from eafl_flower.data.tables.unpacked import limit_text, most_bytes
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.types import Array, digest

VERSION = "1"
_ARRAYS, _TEXTS = ("absolute", "labels", "images"), ("encoder", "data", "trained_on")
_MADE = "docs/latents.md says how such a file is made"
Content = tuple[Mapping[str, Array], Mapping[str, str]]  # arrays and texts by name
Reader = Callable[[Path], Content]


def write_latents(path: str | os.PathLike[str], latents: Latents) -> None:
    """Write latents, all splits in one file, safetensors or npz by the file's extension; missing folders are made.

    Raises
    ------
    ConfigError
        If the extension is another.
    OSError
        If it cannot be written.
    """
    where = Path(path)
    arrays = {
        f"{split}.{name}": np.ascontiguousarray(array)
        for split in SPLITS
        if split in latents.splits
        for name in _ARRAYS
        if (array := getattr(latents.splits[split], name)) is not None
    }
    texts = {"version": VERSION, **{name: str(getattr(latents, name)) for name in _TEXTS}}
    texts["sha256"] = _digest(arrays, texts)
    if where.suffix not in (".safetensors", ".npz"):
        raise ConfigError(f"{where}: latents are written to files whose names end in .safetensors or .npz")
    make_folder(where.parent)
    if where.suffix == ".safetensors":
        write_atomically(where, save(arrays, metadata=texts))
        return
    first, *others = ((name, np.array(text)) for name, text in texts.items())
    members = dict([first, *arrays.items(), *others])  # texts on both ends: a list of members that is cut lacks some
    content = io.BytesIO()
    np.savez(content, **members)  # type: ignore[arg-type]  # an array could be called allow_pickle
    write_atomically(where, content.getvalue())


def read_latents(path: str | os.PathLike[str]) -> Latents:
    """Read latents of a file.

    Parameters
    ----------
    path
        A file, safetensors or npz, with all its splits. Files of torch are read, too, by the function of this name in
        ``eafl_flower.models.latents``.

    Raises
    ------
    DataError
        If it is missing, damaged or of another version of the format, arrays are missing or of other shapes or types,
        or a value is not finite.
    """
    return latents_of(Path(path), READERS)


def read_split_files(folder: str | os.PathLike[str], encoder: str) -> Latents:
    """Read latents of one file for each split, ``FOLDER/SPLIT/ENCODER.EXTENSION``; at least one is there.

    Raises
    ------
    DataError
        As ``read_latents``.
    """
    return latents_of_splits(Path(folder), encoder, READERS)


def latents_of(path: Path, readers: Mapping[str, Reader]) -> Latents:
    """Read latents of a file by the reader of its extension; raises as ``read_latents``."""
    arrays, texts = _content(path, readers)
    known: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        split, _, kind = name.partition(".")
        if kind in _ARRAYS and split in SPLITS:
            known.setdefault(split, {})[kind] = array
        elif texts:
            raise DataError(f"{path}: no array of version {VERSION} is called {shown(name)}; {_MADE}")
    if not known:
        expected = ", ".join(f"{split}.absolute, {split}.labels" for split in SPLITS)
        raise DataError(f"{path} has none of {expected}: found {_found(arrays)}; {_MADE}")
    with _at(path):
        return Latents(
            encoder=texts.get("encoder", path.stem),
            splits={split: _rows(known[split], f"{split}.") for split in SPLITS if split in known},
            data=texts.get("data", ""),
            trained_on=texts.get("trained_on", ""),
        )


def latents_of_splits(folder: Path, encoder: str, readers: Mapping[str, Reader]) -> Latents:
    """Read latents of one file for each split by the readers of extensions; raises as ``read_latents``."""
    splits: dict[str, LatentRows] = {}
    for split in SPLITS:
        candidates = [folder / split / f"{encoder}{extension}" for extension in readers]
        found = [path for path in candidates if path.is_file()]
        if len(found) > 1:
            raise DataError(f"{found[0]} and {found[1]} are both there: keep one of them")
        if found:
            arrays, _ = _content(found[0], readers)
            with _at(found[0]):
                splits[split] = _rows(arrays, "")
    if not splits:
        expected = (
            f"expected {folder}/SPLIT/{encoder} with one of {', '.join(readers)}, SPLIT being {', '.join(SPLITS)}"
        )
        raise DataError(f"no latents of {shown(encoder)} in {folder}: {expected}")
    with _at(folder):
        return Latents(encoder=encoder, splits=splits)


def _content(path: Path, readers: Mapping[str, Reader]) -> Content:
    if path.is_dir():
        raise DataError(
            f"{path} is a folder, expected a file of latents; read_split_files reads one file for each split"
        )
    if not path.is_file():
        raise DataError(f"no file {path}")
    if path.suffix not in readers:
        raise DataError(f'{path}: latents are read from {", ".join(readers)}, not from "{shown(path.suffix)}"; {_MADE}')
    arrays, texts = readers[path.suffix](path)
    if not {"version", *_TEXTS, "sha256"} & set(texts):
        return arrays, {}
    if texts.get("version", VERSION) != VERSION:
        msg = (
            f"{path} is of version {shown(texts['version'])} of the format of latents, expected {VERSION}: extract the "
            "latents anew, or read them by the eafl-flower that wrote them"
        )
        raise DataError(msg)
    if missing := [name for name in ("version", *_TEXTS, "sha256") if name not in texts]:
        raise DataError(f"{path} has no text {listed(missing)}; {_MADE}")
    if _digest(arrays, texts) != texts["sha256"]:
        raise DataError(
            f"{path} is damaged: what it holds has another digest than was written; extract the latents anew"
        )
    return arrays, texts


def _rows(arrays: Mapping[str, Array], prefix: str) -> LatentRows:
    if missing := [name for name in ("absolute", "labels") if name not in arrays]:
        raise DataError(f"no array {listed([prefix + name for name in missing])}: found {_found(arrays)}; {_MADE}")
    absolute = np.asarray(arrays["absolute"])
    if absolute.dtype.kind != "f":
        raise DataError(f"{prefix}absolute is {absolute.dtype} {absolute.shape}, expected floats (n, d)")
    columns = {name: np.asarray(arrays[name]) for name in ("labels", "images") if name in arrays}
    for name, column in columns.items():
        if column.dtype.kind not in "iu":
            raise DataError(f"{prefix}{name} is {column.dtype} {column.shape}, expected integers ({len(absolute)},)")
    try:
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused as such
            return LatentRows(
                absolute=absolute.astype(np.float32),
                **{name: column.astype(np.int64) for name, column in columns.items()},
            )
    except DataError as error:
        raise DataError(f"{prefix[:-1]}: {error}" if prefix else str(error)) from error


def _read_safetensors(path: Path) -> Content:
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, "safetensors", error) from error


def _read_npz(path: Path) -> Content:
    try:
        with path.open("rb") as stream:
            with zipfile.ZipFile(stream) as members:
                unpacked = sum(member.file_size for member in members.infolist())
            if unpacked > most_bytes(packed := path.stat().st_size):
                raise DataError(f"{path} unpacks to {limit_text(packed)}: write it anew by numpy.savez")
            with np.load(stream, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
    except DataError:
        raise
    # numpy and zipfile fail in many ways at bytes that were changed; a shape that was is out of memory
    except Exception as error:
        raise _damaged(path, "arrays of numpy (npz)", error) from error
    texts = {name: str(array) for name, array in arrays.items() if array.ndim == 0 and array.dtype.kind == "U"}
    return {name: array for name, array in arrays.items() if name not in texts}, texts


READERS: Mapping[str, Reader] = {".safetensors": _read_safetensors, ".npz": _read_npz}


def _digest(arrays: Mapping[str, Array], texts: Mapping[str, str]) -> str:
    about = [[name, digest([arrays[name]])] for name in sorted(arrays)]
    words = [texts[name] for name in ("version", *_TEXTS)]
    return hashlib.sha256(json.dumps([words, about]).encode()).hexdigest()


def _damaged(path: Path, what: str, error: Exception) -> DataError:
    reason = str(error).strip() or type(error).__name__
    return DataError(f"{path} cannot be read as {what}, it is damaged or something else ({shown(reason)}); {_MADE}")


def _found(arrays: Mapping[str, Array]) -> str:
    return listed([shown(name) for name in arrays]) or "nothing"


@contextmanager
def _at(path: Path) -> Iterator[None]:
    """Name the file in a ``DataError``."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
