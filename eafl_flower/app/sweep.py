"""Many runs of one preset: lists of values times seeds, several processes, finished runs skipped.

::

    runs/sweep-emam/
    ├── results.csv                                what came out, one line a run
    ├── learning-rate=0.1,seed=1-3f2a9c10.toml     a run's configuration
    ├── learning-rate=0.1,seed=1-3f2a9c10.log      what it printed
    └── learning-rate=0.1,seed=1-3f2a9c10/         its run directory
"""

import csv
import io
import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eafl_flower.config import RunConfig, parse_overrides
from eafl_flower.config.run_config import known_setting
from eafl_flower.core.durable import open_unlinked, write_atomically
from eafl_flower.core.settings import Value
from eafl_flower.core.stopping import signal_name
from eafl_flower.core.words import cell
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.results.folders import make_results_folder
from eafl_flower.results.ownership import owned
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.scores import stored_scores

_POLL_S = 0.1
STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")  # ask a run to stop, and it says so by its exit status


@dataclass(frozen=True)
class Point:
    """One run of a sweep: its configuration and the values that make it different."""

    config: RunConfig
    values: Mapping[str, Value]

    @property
    def id(self) -> str:
        """Name of the run's directory: readable, and different for different configurations."""
        return f"{self.title}-{self.config.hash(leave_out=('results',))[:8]}"

    @property
    def title(self) -> str:
        """The values, with short keys."""
        return ",".join(f"{key.rpartition('.')[2]}={value}".replace("/", "_") for key, value in self.values.items())


def points_of(config: RunConfig, lists: Sequence[str], seeds: Sequence[int]) -> list[Point]:
    """Return every combination of values and seeds, the seed running fastest.

    Parameters
    ----------
    config
        What all runs share.
    lists
        Texts ``key=v1,v2``. The values of settings that are lists themselves are separated by
        semicolons: ``task.tabular.hidden=32,32;64,64``.
    seeds
        Seeds of every combination.

    Raises
    ------
    ConfigError
        If a key or value is not allowed, or a key or seed is given twice.
    """
    axes: dict[str, list[Value]] = {}
    for text in lists:
        key, equals, values = (part.strip() for part in text.partition("="))
        if key in axes:
            msg = f"--set {key} is given twice: expected all its values in one list"
            raise ConfigError(msg)
        separator = ";" if _is_list(key) else ","
        axes[key] = [
            parse_overrides([f"{key}{equals}{value.strip()}"]).get(key, "") for value in values.split(separator)
        ]
    if "seed" in axes or len(set(seeds)) < len(seeds):
        msg = "seeds are given once, by --seeds 1,2,3"
        raise ConfigError(msg)
    points = []
    for combination in itertools.product(*axes.values(), seeds):
        chosen = dict(zip([*axes, "seed"], combination, strict=True))
        points.append(Point(config.replace(chosen, source="--set"), chosen))
    return points


def _is_list(key: str) -> bool:
    try:
        return known_setting(key).is_list
    except KeyError:  # whoever parses the values says so
        return False


@dataclass(frozen=True)
class Result:
    """What became of a point; ``status`` is ``done``, ``skipped`` (done before), ``failed`` or ``unfinished``.

    ``reason`` says why it failed, what a skipped one lacks, why one was run again, or what the next sweep does about an
    unfinished one.
    """

    point: Point
    status: str
    run: RunDirectory
    reason: str = ""

    @property
    def finished(self) -> bool:
        """Whether the run has ended well, now or before."""
        return self.status in ("done", "skipped")


def run_sweep(
    points: Sequence[Point],
    folder: Path,
    *,
    jobs: int,
    command: Callable[[Sequence[str]], list[str]],
    changes: Callable[[RunDirectory, RunConfig], str],
    report: Callable[[Result], None],
) -> list[Result]:
    """Run all points that are not finished, ``jobs`` at a time, and write ``results.csv``.

    A run that was made from other data than there are now is set aside, and its point is run again.

    Parameters
    ----------
    points
        What to run.
    folder
        Where everything goes; made if needed.
    jobs
        Processes at a time.
    command
        Returns the command line of a process from the arguments of ``eafl run``.
    changes
        Says how what a configuration stands for now differs from what a stored run was made from; "" if it does not.
    report
        Called once a point, when its result is known.

    Raises
    ------
    KeyboardInterrupt
        After the running processes were stopped too and have left their checkpoints; what is unfinished was reported.
    """
    make_results_folder(folder)
    waiting, results = list(reversed(points)), []
    running: dict[str, tuple[Point, subprocess.Popen[bytes]]] = {}
    again: dict[str, str] = {}

    def settle(result: Result) -> None:
        reason = "; ".join(text for text in (result.reason, again.get(result.point.id, "")) if text)
        result = replace(result, reason=reason)
        results.append(result)
        report(result)

    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                point = waiting.pop()
                run = RunDirectory(folder / point.id)
                try:
                    stale = changes(run, point.config) if run.finished or run.has_checkpoint else ""
                except DataError as error:
                    settle(Result(point, "failed", run, str(error)))
                    continue
                if stale:
                    again[point.id] = f"run again, the old one was made {stale} and is now {_set_aside(run)}"
                if run.finished:
                    settle(Result(point, "skipped", run, _lacking(point, run)))
                else:
                    running[point.id] = (point, _start(point, run, command))
            for id_, (point, process) in list(running.items()):
                if process.poll() is not None:
                    del running[id_]
                    settle(_result(point, RunDirectory(folder / id_), process.returncode))
            time.sleep(_POLL_S if running else 0)
    finally:
        stop_all([process for _, process in running.values()])
        for point in (*(point for point, _ in running.values()), *reversed(waiting)):
            settle(_unfinished(point, RunDirectory(folder / point.id)))
        write_results(results, folder / "results.csv")
    return results


def stop_all(processes: "Sequence[subprocess.Popen[bytes]]") -> None:
    """End these processes and wait until each has left its checkpoint; who presses Ctrl-C again does not wait."""
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
            process.wait()


def child_command(arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs ``eafl run`` with this interpreter."""
    return [sys.executable, "-m", "eafl_flower.cli.main", "run", *arguments]


def write_results(results: Sequence[Result], path: Path) -> None:
    """Write one line a finished run: the swept values, then the numbers of its summary."""
    rows: list[dict[str, Any]] = []
    for result in results:
        if not result.finished:
            continue
        summary = result.run.summary()
        row: dict[str, Any] = dict(result.point.values) | {"run": result.point.id}
        row |= {found.metric: found.value for found in stored_scores(summary)}
        for baseline, scores in summary["baselines"].items():
            row |= {f"{baseline}-{score}": value for score, value in (scores or {}).items()}
        row |= {f"staleness-{name}": value for name, value in summary["staleness"].items()}
        row |= {key: value for key, value in summary.items() if isinstance(value, int | float) and key not in row}
        row |= {key: summary[key] for key in ("order_sha256", "arrays_sha256")}
        rows.append(row)
    text = io.StringIO()
    keys = list(dict.fromkeys(key for row in rows for key in row))
    csv.writer(text, lineterminator="\n").writerow(map(cell, keys))
    writer = csv.DictWriter(text, keys, lineterminator="\n")
    writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)
    write_atomically(path, text.getvalue().encode())


def _start(point: Point, run: RunDirectory, command: Callable[[Sequence[str]], list[str]]) -> "subprocess.Popen[bytes]":
    if run.has_checkpoint:
        arguments = ["--resume", str(run.path), "--baselines", point.config.results.baselines]
    else:
        if run.path.exists() and any(run.path.iterdir()):
            unfinished = RunDirectory.open(run.path)  # open: never delete what is not ours
            with owned(unfinished.path, wait_s=0):  # nor what somebody is working on
                shutil.rmtree(unfinished.path)
        config = run.path.with_name(f"{point.id}.toml")
        write_atomically(config, point.config.to_toml().encode())
        arguments = [str(config), "--directory", str(run.path)]
    with open_unlinked(run.path.with_name(f"{point.id}.log"), "ab") as log:
        # Its own session: a signal must reach it once, from here, while it writes its checkpoint.
        return subprocess.Popen(
            command(arguments), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )


def _set_aside(run: RunDirectory) -> str:
    """Give the directory of a run another name, so that its point can be run again; return that name."""
    with owned(RunDirectory.open(run.path).path, wait_s=0):
        names = (f"{run.path.name}-old-{number}" for number in itertools.count(1))
        old = next(path for name in names if not (path := run.path.with_name(name)).exists())
        run.path.rename(old)
    return old.name


def _lacking(point: Point, run: RunDirectory) -> str:
    """Say that a finished run was made with fewer baselines than now asked for."""
    summary, asked = run.summary(), point.config.results.baselines
    there = {name for name, found in summary["baselines"].items() if found is not None}
    there |= set(summary.get("baselines_left_out", {}))
    # What was trained stands for `all`, what only looks at rows for `cheap`; without a merge nothing is trained.
    if asked == "all" and "exact" not in there and summary["merges"]:
        return f"made with --baselines {'cheap' if 'majority' in there else 'none'}"
    if asked == "all" and "pooled" not in there and summary["merges"]:
        return "made by a version without the baseline of pooled rows"
    return "made with --baselines none" if asked != "none" and "majority" not in there else ""


def _result(point: Point, run: RunDirectory, code: int) -> Result:
    if code == 0 and run.finished:
        return Result(point, "done", run)
    log = run.path.with_name(f"{point.id}.log")
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    reason = how_it_was_stopped(code) or (lines[-1] if lines else f"exit status {code}")
    return Result(point, "failed", run, f"{reason} (see {log})")


def how_it_was_stopped(code: int) -> str:
    """Return which signal ended a process with this exit status, in words; "" if none did.

    Examples
    --------
    >>> how_it_was_stopped(-9)
    'killed by SIGKILL (out of memory?)'
    >>> how_it_was_stopped(128 + 15)
    'stopped by SIGTERM'
    """
    if code < 0:
        return f"killed by {signal_name(-code)}" + (" (out of memory?)" if signal_name(-code) == "SIGKILL" else "")
    return f"stopped by {signal_name(code - 128)}" if signal_name(code - 128) in STOPPING else ""


def _unfinished(point: Point, run: RunDirectory) -> Result:
    if run.finished:  # while it was asked to stop
        return Result(point, "done", run)
    if run.has_checkpoint:
        return Result(point, "unfinished", run, "goes on from its checkpoint")
    return Result(point, "unfinished", run, "starts again" if run.path.exists() else "not begun")


def parse_seeds(text: str) -> list[int]:
    """Return ``"1,2,3"`` as numbers; raises ``ConfigError`` otherwise."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        msg = f'--seeds "{text}": expected integers separated by commas, as in 1,2,3'
        raise ConfigError(msg) from error
