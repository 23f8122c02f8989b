"""Processes of this machine: what started what, and their end."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def command_line(pid: int) -> str:
    """Return the command line of a process, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def descendants(pid: int) -> dict[int, str]:
    """Return the processes that ``pid`` has started, directly or not, with their command lines."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # ended meanwhile
    found: dict[int, str] = {}
    newest = {pid}
    while newest := {child for child, parent in parents.items() if parent in newest}:
        found |= {child: command_line(child) for child in newest}
    return found


def kill_all(pids: Iterable[int]) -> None:
    """Kill these processes; those that have ended are left out."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
