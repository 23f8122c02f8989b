"""Files that are either the old one or the new one, never half of each."""

import errno
import os
import re
import tempfile
from pathlib import Path
from typing import IO, Any

PRIVATE = 0o600  # of a file that is its owner's alone
PRIVATE_FOLDER = 0o700
_OPEN_FILE = re.compile(r"(/dev/(stdout|stderr)|(/dev/fd|/proc/(self|[0-9]+)/fd)/[0-9]+)")


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step, durable against a crash at any moment.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written; ``path`` is then unchanged.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp gives 0600, which would hide results from the owner's group
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def open_unlinked(
    path: Path, mode: str, *, rights: int = 0o666, newline: str | None = None, buffering: int = -1
) -> IO[Any]:
    """Open a file to write to, never through a symbolic link: it could lead to a file that is somebody else's.

    Descriptors that the caller has open (``/dev/stdout``) are no such links.

    Parameters
    ----------
    path, mode, newline, buffering
        As of ``open``; text is UTF-8.
    rights
        Of the file, if it is made; the process's mask takes some away.

    Raises
    ------
    OSError
        If it is a link, or cannot be opened.
    """
    follow = 0 if _OPEN_FILE.fullmatch(str(path)) else getattr(os, "O_NOFOLLOW", 0)
    encoding = None if "b" in mode else "utf-8"
    try:
        return open(
            path,
            mode,
            buffering,
            encoding=encoding,
            newline=newline,
            opener=lambda name, flags: os.open(name, flags | follow, rights),
        )
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        msg = "is a symbolic link, and nothing is written through one: name the file itself"
        raise OSError(errno.ELOOP, msg, str(path)) from error


def write_private(path: Path, content: bytes, *, durable: bool) -> None:
    """Replace ``path`` by ``content`` in one step, for its owner's eyes alone; ``durable`` against a power failure."""
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)  # of a process that was killed, or a link that somebody laid
    try:
        with open_unlinked(temporary, "xb", rights=PRIVATE) as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def make_folder(folder: Path, *, rights: int = 0o777, durable: bool = True) -> None:
    """Make ``folder`` and the folders above it, where they are missing; ``durable`` against a power failure."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=rights, exist_ok=True)
    folder.mkdir(exist_ok=True)  # tells what is in its place
    for path in reversed(missing) if durable else ():
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk: a file that is there has none before that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
