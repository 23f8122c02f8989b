"""Many measurements in several processes, each kept as soon as it is made, so that a broken run goes on.

A cell is one call of a function with a configuration, and with what it is given of earlier results. Its result is JSON,
appended as one line to a file; a cell whose line is there is not calculated again. The key of a cell is a hash of the
function's name, the settings that are not at their defaults and what it is given: a changed setting is another cell,
and a setting that the program gets later leaves it as it is. Each line also says what data it was made from; when they
have changed, it is calculated again. A changed program is not seen, nor is a changed default: start with ``--fresh``
after one.

A configuration is a preset's (``RunConfig``), or settings of an experiment's own as plain values: then its module has
``data_digest(settings)``, the digest of the data they need.
"""

import hashlib
import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from eafl_flower.app.resolving import resolve
from eafl_flower.app.resuming import provenance_of
from eafl_flower.config import RunConfig
from eafl_flower.config.run_config import DataSettings, declared
from eafl_flower.core.settings import Value
from eafl_flower.core.threads import one_thread

Result = Mapping[str, Any]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Cell:
    """One measurement: ``function`` is "module:name", called with the configuration and ``given``, JSON, if any."""

    function: str
    config: RunConfig | Mapping[str, Any]
    title: str
    given: Mapping[str, Any] | None = None

    @property
    def preset(self) -> RunConfig:
        """The configuration, of a cell that has that of a preset."""
        assert isinstance(self.config, RunConfig)
        return self.config

    @cached_property
    def key(self) -> str:
        """What tells the cell from others."""
        if isinstance(self.config, RunConfig):
            settings = json.dumps(chosen(self.config), sort_keys=True)
        else:
            settings = json.dumps(self.config, sort_keys=True)
        given = "" if self.given is None else " " + json.dumps(self.given, sort_keys=True)
        return hashlib.sha256(f"{self.function} {settings}{given}".encode()).hexdigest()[:16]


def chosen(config: RunConfig) -> dict[str, Value]:
    """Return every setting that decides what comes out and is not at its default; one added later is not among them."""
    defaults = _defaults()
    return {key: value for key, value in config.decisive().items() if key not in defaults or value != defaults[key]}


@cache
def _defaults() -> dict[str, Value]:
    return declared()


class Store:
    """Results by key in a file of JSON lines; a line that was cut off counts as absent."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        self.results: dict[str, Result] = {}
        self.data: dict[str, str] = {}  # digest by key
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
                    self.data[entry["key"]] = entry.get("data", "")
                except (ValueError, KeyError, TypeError):
                    continue

    def __getitem__(self, cell: Cell) -> Result:
        return self.results[cell.key]

    def __contains__(self, cell: Cell) -> bool:
        return cell.key in self.results

    def put(self, cell: Cell, result: Result, data: str) -> None:
        """Keep a result, and the digest of the data it was made from."""
        self.results[cell.key], self.data[cell.key] = result, data
        entry = {"key": cell.key, "title": cell.title, "function": cell.function, "data": data, "result": result}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def run(self, cells: Iterable[Cell], *, jobs: int) -> None:
        """Calculate the cells that are missing.

        Raises
        ------
        Exception
            What the first failing cell raised, after the others have ended.
        """
        wanted = {cell.key: cell for cell in cells}
        self._forget_other_data([cell for cell in wanted.values() if cell in self])
        missing = [cell for cell in wanted.values() if cell not in self]
        began_s, failure = time.monotonic(), None
        for number, (cell, (result, data)) in enumerate(_calculated(missing, jobs), start=1):
            if isinstance(result, Exception):
                failure = failure or result
                print(f"failed: {cell.title}: {result!r}", file=sys.stderr, flush=True)
                continue
            self.put(cell, result, data)
            minutes = (time.monotonic() - began_s) / 60
            print(f"[{number}/{len(missing)}, {minutes:.1f} min] {cell.title}: {_shown(result)}", flush=True)
        if failure is not None:
            raise failure

    def _forget_other_data(self, cells: Sequence[Cell]) -> None:
        """Forget the results whose data have changed; one cell of each data set stands for all of that set."""
        by_data: dict[DataSettings | str, list[Cell]] = {}
        for cell in cells:
            if self.data[cell.key]:
                config = cell.config
                key = config.data if isinstance(config, RunConfig) else self.data[cell.key]
                by_data.setdefault(key, []).append(cell)
        for data, same in by_data.items():
            if _data_of(same[0]) != self.data[same[0].key]:
                what = data.name if isinstance(data, DataSettings) else same[0].title
                print(f"{what}: the data have changed, {len(same)} results are calculated again", flush=True)
                for cell in same:
                    del self.results[cell.key], self.data[cell.key]
        if unknown := sum(1 for cell in cells if not self.data.get(cell.key, "-")):
            print(
                f"{unknown} results do not say what data they were made from; --fresh calculates them again", flush=True
            )


def _data_of(cell: Cell) -> str:
    if isinstance(cell.config, RunConfig):
        return provenance_of(resolve(cell.config)).data.sha256
    digest: Callable[[Mapping[str, Any]], str] = import_module(cell.function.partition(":")[0]).data_digest
    return digest(cell.config)


def _calculated(cells: Sequence[Cell], jobs: int) -> Iterable[tuple[Cell, Any]]:
    if jobs < 2 or len(cells) < 2:
        for cell in cells:
            yield cell, _outcome(cell)
        return
    for name in THREADS:  # processes, not threads, share the cores
        os.environ.setdefault(name, "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool:
        futures = {pool.submit(_outcome, cell): cell for cell in cells}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _end_with_parent() -> None:
    """Let this process end when the one that started it has: a killed run would go on with its cells for minutes."""

    def end() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _outcome(cell: Cell) -> tuple[Result | Exception, str]:
    """Return the result of a cell, or why there is none, and the digest of its data."""
    try:
        module, _, name = cell.function.partition(":")
        function: Callable[..., Result] = getattr(import_module(module), name)
        one_thread()  # however many processes there are: the same sums, and cores are not fought for
        began_s = time.monotonic()
        data = _data_of(cell)
        found = function(cell.config) if cell.given is None else function(cell.config, cell.given)
        return {**found, "seconds": round(time.monotonic() - began_s, 1)}, data
    except Exception as error:  # one cell that fails does not end the others
        return error, ""


def _shown(result: Result) -> str:
    numbers = {k: v for k, v in result.items() if isinstance(v, int | float)}
    return ", ".join(f"{k} {v:.3g}" for k, v in list(numbers.items())[:4])
