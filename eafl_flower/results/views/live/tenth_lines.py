"""A line for each tenth of a run, however long it is."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from eafl_flower.core.events import Event
from eafl_flower.core.scores import Measured
from eafl_flower.core.words import shown
from eafl_flower.results.views.quantities import energy_text, time_text
from eafl_flower.results.views.terminal import UNLIMITED
from eafl_flower.results.watch import TROUBLE, Watch

PARTS = 10
MOST_SCORE = 30  # letters of the name of a score


class TenthLines:
    """How a run stands, tenth by tenth; ``write`` prints a line.

    Parameters
    ----------
    console, write
        How much room there is, and who prints.
    watch
        The run as its events tell it, which somebody else keeps up.
    """

    def __init__(self, console: Console, write: Callable[[Text], None], watch: Watch) -> None:
        self._console, self._write, self._watch = console, write, watch
        self._next = 0  # the merge that ends the tenth
        self._due: int | None = None  # the merge of a line that waits for the other uploads and the score of it
        self._time_s = 0.0
        self._uploads = self._staleness = 0
        self._ended: Counter[str] = Counter()
        self._scores: Sequence[Measured] = ()
        self._scored_at = 0

    def start(self, event: Event) -> None:
        """Begin behind the merges that are made already."""
        self._next = _end_of_tenth(event.get("merge", 0), event["merges_planned"])

    def merge(self, event: Event) -> None:
        """Add an upload."""
        merge = int(event["merge"])
        if self._due is not None and merge > self._due:
            self.flush()
        self._uploads += 1
        self._staleness += event["staleness"]
        self._time_s = event["time_s"]
        if merge >= self._next:
            self._due = merge

    def trouble(self, kind: str, event: Event) -> None:
        """Add a job that led to no merge."""
        self._ended[kind] += 1

    def evaluate(self, found: Sequence[Measured], merge: int) -> None:
        """Take in scores; those of the merge that ends a tenth end its line."""
        self._scores, self._scored_at = found, merge
        if merge == 0:
            self._say("start", " " * len(f"{self._watch.planned:,} merges"))
        elif merge == self._due:
            self.flush()

    def stop(self, event: Event) -> None:
        """Write what has no line yet: a run may end within a tenth."""
        if self._uploads:
            self._due = int(event["merge"])
        self.flush()

    def make_way(self) -> None:
        """Let a line of somebody else come before one that waits for its score."""

    def flush(self) -> None:
        """Write the line that is due."""
        merge, self._due = self._due, None
        if merge is None:
            return
        planned = max(1, self._watch.planned)
        stale = f"stale {self._staleness / max(1, self._uploads):.1f}"
        at = f"{merge:,}".rjust(len(f"{planned:,}"))
        self._say(f"{100 * merge // planned:3d} %", f"{at} merges", stale=stale, merge=merge)
        self._next = _end_of_tenth(merge, planned)
        self._uploads = self._staleness = 0
        self._ended.clear()

    def _say(self, where: str, merges: str, *, stale: str = "", merge: int = 0) -> None:
        scores, self._scores = self._scores, ()
        told = headline(scores)
        if told and self._scored_at != merge:
            told += f" (merge {self._scored_at:,})"
        cost = f"{energy_text(self._watch.energy_j)}  {time_text(self._time_s)}" if merge else ""
        trouble = ", ".join(f"{count:,} {TROUBLE[kind]}" for kind, count in self._ended.items())
        parts = _Parts(
            where=Text(where.rjust(5), "bold cyan"),
            merges=Text(merges),
            scores=Text(told, "green"),
            stale=Text(stale, "dim"),
            cost=Text(cost),
            trouble=Text(trouble, "yellow"),
        )
        width = self._console.width if self._console.is_terminal else UNLIMITED
        for line in parts.lines(width):
            self._write(line)


class _Parts(NamedTuple):
    """What a line says, some of it empty."""

    where: Text
    merges: Text
    scores: Text
    stale: Text
    cost: Text
    trouble: Text

    def lines(self, width: int) -> list[Text]:
        """Return one line; in a narrower window without the staleness, or with the scores and the trouble below."""
        where, merges, scores, _, cost, trouble = self
        ways: list[tuple[Sequence[Text], Sequence[Text]]] = [
            (self, ()),
            ((where, merges, scores, cost, trouble), ()),
            ((where, merges, scores, cost), (trouble,)),
            ((where, merges, cost), (scores, trouble)),
        ]
        line, below = next(((beside, below) for beside, below in ways if _joined(beside).cell_len <= width), ways[-1])
        return [_joined(line), *(Text("       ").append_text(text) for text in below if text)]


def headline(found: Sequence[Measured]) -> str:
    """Return the main score, and the same of clients that never trained: ``accuracy 78.2 %  unseen 80.2 %``."""
    if not found:
        return ""
    main = found[0]
    chosen = [main, *(m for m in found[1:] if m.score == main.score and m.phase == "unseen")]
    return "  ".join(f"{_name(m)} {m.score.text(m.value)}" for m in chosen)


def _name(found: Measured) -> str:
    return shown(found.score.name if found.phase in ("", "before") else found.key, MOST_SCORE)


def _end_of_tenth(merge: int, planned: int) -> int:
    """Return the first merge behind ``merge`` that ends a tenth of ``planned``."""
    tenth = PARTS * merge // max(1, planned) + 1
    return max(merge + 1, -(-tenth * planned // PARTS))


def _joined(parts: Iterable[Text]) -> Text:
    return Text("  ").join(text for text in parts if text)
