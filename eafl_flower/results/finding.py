"""Finds a run by its directory, by its name without the time, or as the newest of a folder."""

import csv
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from eafl_flower.errors import CheckpointError
from eafl_flower.results.ownership import is_owned
from eafl_flower.results.run_directory import RunDirectory

POLL_S: Final = 1.0
RUNS: Final = Path("runs")
_SET_ASIDE = re.compile(r"-old-\d+$")  # by a sweep, of whose data there are others now
_BEGAN = re.compile(r"-(\d{8}T\d{6}Z)(?:-(\d+))?")


def find_run(path: Path) -> RunDirectory:
    """Return the run at ``path``, or the newest of those that it may mean.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    if _is_run(path):
        return RunDirectory.open(path)
    if runs := runs_at(path):
        return RunDirectory.open(runs[-1])
    if path.is_dir() and any(path.iterdir()):
        return RunDirectory.open(path)  # which says what is wrong with it
    msg = (
        f"there is no run {path}, nor {path}-<time>: expected the directory of a run, its name without the time, or a "
        "folder of runs. A run that failed before its first event leaves none: `flwr log ID` says why"
    )
    raise CheckpointError(msg)


def await_run(path: Path, *, within_s: float) -> RunDirectory:
    """Return the run that ``path`` means once it goes on or has finished, after ``within_s`` whatever has become of it.

    The directory itself means this run; a name or a folder means one that goes on or began at most ``within_s`` before
    the call, so that an older one of the same name is not taken for it.

    Raises
    ------
    CheckpointError
        If there is none after ``within_s`` [s].
    """
    deadline, oldest_s = time.monotonic() + within_s, time.time() - within_s
    while True:
        if _is_run(path):
            run = RunDirectory(path)
            if is_owned(path) or run.finished or time.monotonic() >= deadline:
                return RunDirectory.open(path)
        else:
            for found in reversed(runs_at(path)):
                if is_owned(found) or began_s(found) >= oldest_s:
                    return RunDirectory.open(found)
            if time.monotonic() >= deadline:
                return _none_new(path, within_s)
        time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))


def runs_at(path: Path) -> list[Path]:
    """Return the runs in the folder ``path``, or those with this name and a time, the oldest first.

    A name without a folder is looked for here and where runs go by default.
    """
    if path.is_dir():
        found = [*path.iterdir()]
    else:
        folders = [path.parent, *([RUNS] if len(path.parts) == 1 else [])]
        there = [one for folder in folders if folder.is_dir() for one in folder.iterdir()]
        named = (one for one in there if one.name.startswith(path.name))
        found = [one for one in named if _BEGAN.fullmatch(one.name.removeprefix(path.name))]
    return sorted((one for one in found if _is_run(one)), key=_age)


def runs_of(path: Path) -> dict[Path, dict[str, str]]:
    """Return the runs that a path stands for, each with the values that a sweep has given it.

    The directory of a run stands for itself. A sweep's folder stands for its runs in their order there, but for those
    that it has set aside; any other folder for the runs in it. What is none of these is returned as it is: whoever
    opens it says so.
    """
    found = [] if _is_run(path) or not path.is_dir() else runs_at(path)
    if not found:
        return {path: {}}
    swept = _swept(path / "results.csv")
    rest: dict[Path, dict[str, str]] = {
        run: {} for run in found if run.name not in swept and not (swept and _SET_ASIDE.search(run.name))
    }
    return {path / name: values for name, values in swept.items() if path / name in found} | rest


def _swept(table: Path) -> dict[str, dict[str, str]]:
    """Return the values of each run of a sweep by the run's name, from its ``results.csv``; nothing without one."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    if not rows or "run" not in rows[0]:
        return {}
    keys = [*rows[0]][: [*rows[0]].index("run")]
    return {row["run"]: {key: row[key] or "" for key in keys} for row in rows}


def began_s(run: Path) -> float:
    """Return when a run began, by the name of its directory, in seconds since 1970; without one, when it was made."""
    found = _BEGAN.search(run.name)
    if found is None:
        return (run / "config.toml").stat().st_mtime
    return datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _is_run(path: Path) -> bool:
    return (path / "config.toml").is_file() and (path / "events.jsonl").exists()


def _age(run: Path) -> tuple[float, int]:
    found = _BEGAN.search(run.name)
    return began_s(run), int(found[2] or 1) if found else 1


def _none_new(path: Path, within_s: float) -> RunDirectory:
    old = find_run(path)
    msg = (
        f"no run of {path} goes on or has begun within {within_s:g} s; the newest is {old.path}, which "
        "is meant by its whole name. A run that failed before its first event leaves none: `flwr log ID` says why"
    )
    raise CheckpointError(msg)
