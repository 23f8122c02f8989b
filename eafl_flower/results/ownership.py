"""One process at a time writes to a run directory."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eafl_flower.core.durable import open_unlinked
from eafl_flower.core.words import shown
from eafl_flower.errors import CheckpointError

try:
    import fcntl
except ImportError:  # a system without it: nobody is kept out
    fcntl = None  # type: ignore[assignment]

POLL_S = 0.2
GLANCE_S = 0.3  # who only looks whether a run is owned holds its lock for a moment


def is_owned(folder: Path) -> bool | None:
    """Whether a process owns the run directory ``folder`` at the moment; None if that cannot be seen."""
    if fcntl is None:
        return None
    try:
        with (folder / "owner").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:
        return None  # a file system without locks
    return False


def owner_of(folder: Path) -> int | None:
    """Return the number of the process that owns the run directory ``folder``; None if nobody can be seen to."""
    if not is_owned(folder):
        return None
    try:
        return int((folder / "owner").read_bytes()[:40])
    except (OSError, ValueError):
        return None


@contextmanager
def owned(folder: Path, *, wait_s: float) -> Iterator[None]:
    """Own the run directory ``folder`` until the end of the block; the lock dies with the process.

    A server that lost its SuperLink lives on until a new one turns it away, and then writes a last
    checkpoint: who goes on with its run waits for that.

    Parameters
    ----------
    folder
        The run directory; the file ``owner`` in it is locked and holds the number of the process.
    wait_s
        Longest wait for another process to end [s]; at 0 only for one that looks who owns the run.

    Raises
    ------
    CheckpointError
        If another process still owns the run.
    """
    deadline = time.monotonic() + max(wait_s, GLANCE_S)
    with open_unlinked(folder / "owner", "ab+") as file:  # the number in it is the owner's, so keep it
        while fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    file.seek(0)
                    owner = shown(file.read(40).decode("ascii", "replace").strip()) or "unknown"
                    msg = (
                        f"another process (pid {owner}) is working on this run, {folder}: "
                        "wait for its end, or stop it and resume the run"
                    )
                    raise CheckpointError(msg) from error
                time.sleep(POLL_S)
            except OSError:
                break  # a file system without locks
            else:
                file.truncate(0)
                file.write(f"{os.getpid()}\n".encode())
                file.flush()
                break
        yield
