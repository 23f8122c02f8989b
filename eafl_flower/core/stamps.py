"""Whether files are still as they were when this process read them: what was loaded from them may be kept so long."""

import os
from pathlib import Path

Stamp = tuple[int, int, int] | None  # inode, size and time of the last change; None: there is no such file

_stamps: dict[Path, Stamp] = {}


def noted(path: Path) -> Path:
    """Note how a file is that is about to be read, if this process has not read it yet; return its path."""
    _stamps.setdefault(path.absolute(), _stamp(path))
    return path


def any_changed() -> bool:
    """Whether one of the noted files has changed since."""
    return any(_stamp(path) != stamp for path, stamp in _stamps.items())


def forget() -> None:
    """Forget which files were read."""
    _stamps.clear()


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
