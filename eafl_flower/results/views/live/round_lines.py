"""A line for as many uploads as there are clients: at one upload a client that is a round, hence ``R01``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from eafl_flower.core.events import Event
from eafl_flower.core.scores import Measured
from eafl_flower.core.words import shown
from eafl_flower.results.views.quantities import bytes_text, energy_text, time_text
from eafl_flower.results.watch import TROUBLE

MOST_SCORE = 60  # letters of the name of a score
_FULL_WIDTH = 100  # columns from which byte counts are written out


@dataclass
class _Round:
    """What has been summed up since the last line."""

    uploads: int = 0
    raw: int = 0
    coded: int = 0
    staleness: int = 0
    energy_j: float = 0.0
    trouble: dict[str, int] = field(default_factory=dict)


class RoundLines:
    """Everything a run tells, round by round; ``write`` prints a line."""

    def __init__(self, console: Console, write: Callable[[Text], None]) -> None:
        self._console, self._write = console, write
        self._round = _Round()
        self._uploads = self._planned = 0
        self._clients = 1
        self._time_s = 0.0
        self._pending: Text | None = None
        self._extra: Text | None = None

    def start(self, event: Event) -> None:
        """Take in how many clients and merges there are, and what is done already."""
        self._clients, self._planned = max(1, event["clients"]), event["merges_planned"]
        self._uploads = event.get("uploads", event.get("merge", 0))

    def merge(self, event: Event) -> None:
        """Add an upload."""
        self.flush()
        self._uploads += 1
        self._time_s = event["time_s"]
        current = self._round
        current.uploads += 1
        current.raw += event["raw_bytes"]
        current.coded += event["uplink_bytes"]
        current.staleness += event["staleness"]
        current.energy_j += event["energy_j"]
        if self._uploads % self._clients == 0:
            self._end_round()

    def trouble(self, kind: str, event: Event) -> None:
        """Add a job that led to no merge."""
        self._round.trouble[kind] = self._round.trouble.get(kind, 0) + 1

    def evaluate(self, found: Sequence[Measured], merge: int) -> None:
        """Write the scores, beside the line of the round that they end."""
        if merge == self._planned and self._round.uploads:
            self._end_round()
        where = f"after merge {merge:,}" if merge else "at the start"
        line = self._pending or Text(f"{shown(found[0].score.title, MOST_SCORE)} {where}:")
        text = Text("  ".join(f"{shown(m.key, MOST_SCORE)} {m.score.text(m.value)}" for m in found), "green")
        self._pending, self._extra = line, Text("  ").join([text, self._extra] if self._extra else [text])
        self.flush()

    def stop(self, event: Event) -> None:
        """Write what has no line yet."""
        if self._round.uploads:
            self._end_round()
        self.flush()

    def make_way(self) -> None:
        """Write what comes before a line of somebody else."""
        self.flush()

    def flush(self) -> None:
        """Write the last round's line; what does not fit beside it on a terminal goes below it."""
        line, extra = self._pending, self._extra
        self._pending = self._extra = None
        if line is None:
            return
        if extra is None:
            self._write(line)
        elif self._console.is_terminal and line.cell_len + 2 + extra.cell_len > self._console.width:
            self._write(line)
            self._write(Text("    ").append_text(extra))  # under "saved"
        else:
            self._write(line.append("  ").append_text(extra))

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
            counts = ", ".join(f"{count:,} {TROUBLE[kind]}" for kind, count in current.trouble.items())
            self._extra = Text(counts, "yellow")
