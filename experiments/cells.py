"""Many measurements in several processes, each kept as soon as it is made, so that a broken run goes on.

A cell is one call of a function with a configuration. Its result is JSON, appended as one line to a file; a cell
whose line is there is not calculated again. The key of a cell is a hash of the function's name and the settings,
so that a changed setting is another cell. A changed program is not seen: start with ``--fresh`` after one.
"""

import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from eafl_flower.config import RunConfig

Result = Mapping[str, Any]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Cell:
    """One measurement: ``function`` is "module:name", called with the configuration."""

    function: str
    config: RunConfig
    title: str

    @property
    def key(self) -> str:
        """What tells the cell from others."""
        settings = self.config.hash(leave_out=["name", "results", "engine", "checkpoint", "data.dir"])
        return hashlib.sha256(f"{self.function} {settings}".encode()).hexdigest()[:16]


class Store:
    """Results by key in a file of JSON lines; a line that was cut off counts as absent."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        self.results: dict[str, Result] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.unlink(missing_ok=True)
        if path.exists():
            text = path.read_text()
            if text and not text.endswith("\n"):
                path.write_text(text + "\n")  # what is appended next is a line of its own
            for line in text.splitlines():
                try:
                    entry = json.loads(line)
                    self.results[entry["key"]] = entry["result"]
                except (ValueError, KeyError, TypeError):
                    continue

    def __getitem__(self, cell: Cell) -> Result:
        return self.results[cell.key]

    def __contains__(self, cell: Cell) -> bool:
        return cell.key in self.results

    def put(self, cell: Cell, result: Result) -> None:
        """Keep a result."""
        self.results[cell.key] = result
        entry = {"key": cell.key, "title": cell.title, "function": cell.function, "result": result}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def run(self, cells: Iterable[Cell], *, jobs: int) -> None:
        """Calculate the cells that are missing.

        Raises
        ------
        Exception
            What the first failing cell raised, after the others have ended.
        """
        missing = list({cell.key: cell for cell in cells if cell not in self}.values())
        began_s, failure = time.monotonic(), None
        for number, (cell, result) in enumerate(_calculated(missing, jobs), start=1):
            if isinstance(result, Exception):
                failure = failure or result
                print(f"failed: {cell.title}: {result!r}", file=sys.stderr, flush=True)
                continue
            self.put(cell, result)
            minutes = (time.monotonic() - began_s) / 60
            print(f"[{number}/{len(missing)}, {minutes:.1f} min] {cell.title}: {_shown(result)}", flush=True)
        if failure is not None:
            raise failure


def _calculated(cells: Sequence[Cell], jobs: int) -> Iterable[tuple[Cell, Any]]:
    if jobs < 2 or len(cells) < 2:
        for cell in cells:
            yield cell, _outcome(cell)
        return
    for name in THREADS:  # processes, not threads, share the cores
        os.environ.setdefault(name, "1")
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(_outcome, cell): cell for cell in cells}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _outcome(cell: Cell) -> Result | Exception:
    try:
        module, _, name = cell.function.partition(":")
        function: Callable[[RunConfig], Result] = getattr(import_module(module), name)
        began_s = time.monotonic()
        return {**function(cell.config), "seconds": round(time.monotonic() - began_s, 1)}
    except Exception as error:  # one cell that fails does not end the others
        return error


def _shown(result: Result) -> str:
    numbers = {k: v for k, v in result.items() if isinstance(v, int | float)}
    return ", ".join(f"{k} {v:.3g}" for k, v in list(numbers.items())[:4])
