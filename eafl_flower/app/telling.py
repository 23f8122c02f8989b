"""What a run tells while it goes on, to whom its settings say: terminal or log, trackers, Prometheus."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from rich.console import Console

from eafl_flower.config import RunConfig
from eafl_flower.core.events import Fanout, Observer, Spectator
from eafl_flower.core.scores import Score
from eafl_flower.engines.flower_log import log_through
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.sinks.about import About
from eafl_flower.results.sinks.table import sinks_of
from eafl_flower.results.views.live.console import ConsoleObserver
from eafl_flower.results.views.live.json_lines import JsonLines
from eafl_flower.results.views.live.status_lines import StatusLines
from eafl_flower.results.views.tables import print_results
from eafl_flower.results.views.terminal import say


class Teller:
    """Tells about one run, as text or as JSON.

    Parameters
    ----------
    config, run_dir
        Its settings (group ``results``) and its directory.
    console
        Where to write.
    own_log
        Whether Flower's log is ours to write: in a process of our own, not in a ServerApp.
    """

    def __init__(self, config: RunConfig, run_dir: RunDirectory, console: Console, *, own_log: bool = False) -> None:
        self._config, self._run_dir, self._console = config, run_dir, console
        self._own_log, self._said = own_log, set[str]()
        settings = config.results
        is_json = settings.log_format == "json"
        self._lines = JsonLines(console.file, run_dir.run_name, settings.status_every_s) if is_json else None

    def say(self, text: str, level: str = "info") -> None:
        """Say something in words."""
        if self._lines is not None:
            self._lines.say(text, level)
        else:
            say(self._console, text, "yellow" if level == "warning" else "")

    @contextmanager
    def observing(self, scores: Sequence[Score]) -> Iterator[Observer]:
        """Give the observer of the run, its log first, and close it afterwards.

        Flower's log is part of ours then where ours is JSON, or the process is our own.

        Raises
        ------
        ImportError
            If the package of a sink is not installed.
        """
        results, lines = self._config.results, self._lines
        about = About(name=self._run_dir.run_name, folder=self._run_dir.path, settings=self._config.settings())
        sinks = sinks_of(results.sinks, results.metrics_address, about, lambda text: self.say(text, "warning"))
        shown: Sequence[Observer] = (
            [lines]
            if lines is not None
            else [
                ConsoleObserver(self._console, self._config.name, scores, verbose=results.verbose),
                StatusLines(self._console),
            ]
        )
        through = lines.say if lines is not None else self._say_once if self._own_log else None
        observer = Fanout([self._run_dir.log, *map(Spectator, shown), *sinks])
        with log_through(through) if through is not None else nullcontext():
            try:
                yield observer
            finally:
                observer.close()

    def results(self, summary: Mapping[str, Any], program: str = "eafl") -> None:
        """Tell what came out, where it is, and which command comes next."""
        if self._lines is not None:
            self._lines.results(summary, self._run_dir.path)
        else:
            print_results(
                self._console,
                summary,
                self._run_dir.path,
                codec=self._config.codec.name,
                verbose=self._config.results.verbose,
                next_=f"{program} report {shlex.quote(str(self._run_dir.path))}",
            )

    def _say_once(self, text: str, level: str) -> None:
        """Say a line of Flower's log; baselines are runs of their own, and warn of the same again."""
        if text in self._said:
            return
        self._said.add(text)
        with suppress(OSError):  # nobody reads it any more
            self.say(f"{level}: {text}" if level in ("warning", "error") else text, level)
