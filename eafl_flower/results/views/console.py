"""What a run looks like while it goes on: a progress bar on a terminal, plain lines otherwise.

One line for as many uploads as there are clients: at one upload a client that is a round, hence ``R01``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from eafl_flower.core.events import Event
from eafl_flower.core.scores import Score, guessed, measured
from eafl_flower.core.words import shown
from eafl_flower.results.views.quantities import bytes_text, energy_text, time_text

_SHOWN_REASONS = 3  # different ones; a fleet of failing clients must not bury the results
_MOST_SCORE = 60  # letters of the name of a score
_MOST_REASON = 1_000
_FULL_WIDTH = 100  # columns from which byte counts are written out
_TROUBLE = {"lost": "lost", "refused": "refused", "timeout": "timed out", "error": "failed"}


@dataclass
class _Round:
    """What has been summed up since the last line."""

    uploads: int = 0
    raw: int = 0
    coded: int = 0
    staleness: int = 0
    energy_j: float = 0.0
    trouble: dict[str, int] = field(default_factory=dict)


class ConsoleObserver:
    """Observer that writes to a Rich console; usable as a context manager that closes it.

    Parameters
    ----------
    console, name
        Where to write, and what the run is called.
    scores
        The scores that its clients report; without any they are guessed from the names.
    """

    def __init__(self, console: Console, name: str, scores: Sequence[Score] = ()) -> None:
        self._console = console
        self._scores = tuple(scores)
        self._name = shown(name)
        self._round = _Round()
        self._uploads = 0
        self._time_s = 0.0
        self._clients = 1
        self._planned = 0
        self._reasons: set[str] = set()
        self._pending: Text | None = None
        self._extra: Text | None = None
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> "ConsoleObserver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, event: Event) -> None:
        """Show one event, or add it to the next line."""
        kind = event["event"]
        if kind in ("start", "resume"):
            self._start(event)
        elif kind == "merge":
            self._merge(event)
        elif kind == "evaluate":
            self._evaluate(event)
        elif kind in ("lost", "refused", "timeout", "error"):
            self._trouble(kind, event)
        elif kind == "stop":
            self._stop(event)

    def close(self) -> None:
        """Write what is still pending and take the progress bar away."""
        self._flush()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _start(self, event: Event) -> None:
        self._clients = max(1, event["clients"])
        self._planned = event["merges_planned"]
        done = event.get("merge", 0)
        self._uploads = event.get("uploads", done)
        self._print(
            Text.assemble(
                (self._name, "bold"),
                f": {event['clients']:,} clients, {event['in_flight']:,} in flight, {self._planned:,} merges, "
                f"{event['parameters']:,} parameters ({bytes_text(event['raw_bytes'])})",
            )
        )
        if event["event"] == "resume":
            self._print(Text(f"resumed after {done:,} merges"))
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}", style="bold", markup=False),
                BarColumn(bar_width=None),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} merges", style="default"),
                TimeElapsedColumn(),
                TextColumn("left", style="dim"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
                expand=True,
                refresh_per_second=5,
            )
            self._task = self._progress.add_task(self._name, total=self._planned, completed=done)
            self._progress.start()

    def _merge(self, event: Event) -> None:
        self._flush()
        self._uploads += 1
        self._time_s = event["time_s"]
        current = self._round
        current.uploads += 1
        current.raw += event["raw_bytes"]
        current.coded += event["uplink_bytes"]
        current.staleness += event["staleness"]
        current.energy_j += event["energy_j"]
        if self._progress is not None:
            self._progress.update(self._task, completed=event["merge"])
        if self._uploads % self._clients == 0:
            self._end_round()

    def _end_round(self) -> None:
        current, self._round = self._round, _Round()
        wide = not self._console.is_terminal or self._console.width >= _FULL_WIDTH
        if wide:
            sizes = f"{current.raw - current.coded:,} bytes (raw {current.raw:,} -> comp {current.coded:,})"
        else:
            saved, raw, coded = (bytes_text(n) for n in (current.raw - current.coded, current.raw, current.coded))
            sizes = f"{saved} (raw {raw} -> comp {coded})"
        self._pending = Text.assemble(
            (f"R{-(-self._uploads // self._clients):02d}", "bold cyan"),
            f" saved {sizes}  stale {current.staleness / current.uploads:.1f}"
            f"  {time_text(self._time_s)}  {energy_text(current.energy_j)}",
        )
        if current.trouble:
            counts = ", ".join(f"{count:,} {_TROUBLE[kind]}" for kind, count in current.trouble.items())
            self._extra = Text(counts, "yellow")

    def _evaluate(self, event: Event) -> None:
        scores = self._scores or guessed(event["metrics"])
        found = measured(event["metrics"], scores)
        if not found:
            return
        if event["merge"] == self._planned and self._round.uploads:
            self._end_round()
        where = f"after merge {event['merge']:,}" if event["merge"] else "at the start"
        line = self._pending or Text(f"{shown(found[0].score.title, _MOST_SCORE)} {where}:")
        text = Text("  ".join(f"{shown(m.key, _MOST_SCORE)} {m.score.text(m.value)}" for m in found), "green")
        self._pending, self._extra = line, Text("  ").join([text, self._extra] if self._extra else [text])
        self._flush()

    def _trouble(self, kind: str, event: Event) -> None:
        self._round.trouble[kind] = self._round.trouble.get(kind, 0) + 1
        reason = str(event.get("reason", ""))
        if not reason or reason in self._reasons or len(self._reasons) >= _SHOWN_REASONS:
            return
        self._reasons.add(reason)
        self._flush()
        self._print(Text(f"client {event['client']}, {_TROUBLE[kind]}: {shown(reason, _MOST_REASON)}", "yellow"))
        if len(self._reasons) == _SHOWN_REASONS:
            self._print(Text("further reasons are in events.jsonl", "yellow"))

    def _stop(self, event: Event) -> None:
        if self._round.uploads:
            self._end_round()
        self._flush()
        if self._progress is not None:
            self._progress.update(self._task, description=f"{self._name}: finishing")  # baselines take a while
        if event["merge"] < self._planned:
            self._print(Text(f"stopped after {event['merge']:,} merges: {shown(event['reason'], _MOST_REASON)}"))

    def _flush(self) -> None:
        """Write the last round's line; what does not fit beside it on a terminal goes below it."""
        line, extra = self._pending, self._extra
        self._pending = self._extra = None
        if line is None:
            return
        if extra is None:
            self._print(line)
        elif self._console.is_terminal and line.cell_len + 2 + extra.cell_len > self._console.width:
            self._print(line)
            self._print(Text("    ").append_text(extra))  # under "saved"
        else:
            self._print(line.append("  ").append_text(extra))

    def _print(self, text: Text) -> None:
        # soft_wrap: a line in a file must stay one line, however long
        self._console.print(text, soft_wrap=not self._console.is_terminal, highlight=False)
