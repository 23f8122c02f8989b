"""What a run looks like while it goes on: a progress bar on a terminal, and a line for each tenth of it.

``verbose`` writes a line for each round's worth of uploads instead, with all scores and sizes.
"""

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.text import Text

from eafl_flower.core.events import Event
from eafl_flower.core.scores import Score, guessed, measured
from eafl_flower.core.words import shown
from eafl_flower.results.views.live.progress_bar import ProgressBar
from eafl_flower.results.views.live.round_lines import RoundLines
from eafl_flower.results.views.live.tenth_lines import TenthLines, headline
from eafl_flower.results.views.quantities import bytes_text, energy_text
from eafl_flower.results.watch import TROUBLE, Watch

_SHOWN_REASONS = 3  # different ones; a fleet of failing clients must not bury the results
_MOST_REASON = 1_000


class ConsoleObserver:
    """Observer that writes to a Rich console; usable as a context manager that closes it.

    Parameters
    ----------
    console, name
        Where to write, and what the run is called.
    scores
        The scores that its clients report; without any they are guessed from the names.
    verbose
        Whether each round's worth of uploads has a line, not each tenth of the run.
    """

    def __init__(self, console: Console, name: str, scores: Sequence[Score] = (), *, verbose: bool = False) -> None:
        self._console = console
        self._scores = tuple(scores)
        self._name = shown(name)
        self._watch = Watch()
        self._lines = RoundLines(console, self._print) if verbose else TenthLines(console, self._print, self._watch)
        self._reasons: set[str] = set()
        self._bar: ProgressBar | None = None

    def __enter__(self) -> "ConsoleObserver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, event: Event) -> None:
        """Show one event, or add it to the next line."""
        kind = event["event"]
        if kind == "merge":
            self._lines.merge(event)  # before its joules count: it may end the line of an earlier merge
        self._watch.add(event)
        if kind in ("start", "resume"):
            self._start(event)
        elif kind == "merge" and self._bar is not None:
            self._bar.update(merge=event["merge"], energy=energy_text(self._watch.energy_j))
        elif kind == "evaluate":
            self._evaluate(event)
        elif kind in TROUBLE:
            self._trouble(kind, event)
        elif kind == "status" and self._bar is not None:
            self._bar.tell_in_flight(event["in_flight"])
        elif kind == "stop":
            self._stop(event)

    def close(self) -> None:
        """Write what is still pending and take the progress bar away."""
        self._lines.flush()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _start(self, event: Event) -> None:
        planned, done = event["merges_planned"], event.get("merge", 0)
        self._lines.start(event)
        self._print(
            Text.assemble(
                (self._name, "bold"),
                f": {event['clients']:,} clients, {event['in_flight']:,} in flight, {planned:,} merges, "
                f"{event['parameters']:,} parameters ({bytes_text(event['raw_bytes'])})",
            )
        )
        if event["event"] == "resume":
            self._print(Text(f"resumed after {done:,} merges"))
        if self._console.is_interactive:
            self._bar = ProgressBar(self._console, self._name, planned=planned, done=done, in_flight=event["in_flight"])

    def _evaluate(self, event: Event) -> None:
        scores = self._scores or guessed(event["metrics"])
        found = measured(event["metrics"], scores)
        if not found:
            return
        self._lines.evaluate(found, event["merge"])
        if self._bar is not None:
            self._bar.tell_score(headline(found[:1]))

    def _trouble(self, kind: str, event: Event) -> None:
        self._lines.trouble(kind, event)
        reason = str(event.get("reason", ""))
        if not reason or reason in self._reasons or len(self._reasons) >= _SHOWN_REASONS:
            return
        self._reasons.add(reason)
        self._lines.make_way()
        self._print(Text(f"client {event['client']}, {TROUBLE[kind]}: {shown(reason, _MOST_REASON)}", "yellow"))
        if len(self._reasons) == _SHOWN_REASONS:
            self._print(Text("further reasons are in events.jsonl", "yellow"))

    def _stop(self, event: Event) -> None:
        self._lines.stop(event)
        if self._bar is not None:
            self._bar.finishing()
        if event["merge"] < self._watch.planned:
            self._print(Text(f"stopped after {event['merge']:,} merges: {shown(event['reason'], _MOST_REASON)}"))

    def _print(self, text: Text) -> None:
        # soft_wrap: a line in a file must stay one line, however long
        self._console.print(text, soft_wrap=not self._console.is_terminal, highlight=False)
