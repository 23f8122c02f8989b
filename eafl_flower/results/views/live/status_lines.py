"""One line an interval for whoever watches a deployment: how far, how fast, who is there, who is in trouble."""

from collections import Counter
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from eafl_flower.core.events import Event
from eafl_flower.core.words import shown
from eafl_flower.results.summary import staleness_counted
from eafl_flower.results.views.quantities import energy_text
from eafl_flower.results.views.status_page import rate_text
from eafl_flower.results.watch import TROUBLE, Watch

MOST_CLIENTS = 3  # that a line names
MOST_REASON = 120


class StatusLines:
    """Observer that prints a line at each event ``status``; what it says of trouble and staleness is since the last."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._watch = Watch()
        self._since = _Since()

    def write(self, event: Event) -> None:
        """Take in one event."""
        self._watch.add(event)
        self._since.add(event)
        if event["event"] == "status":
            line = f"{datetime.now(UTC):%H:%M:%SZ}  {status_line(self._watch)}{self._since.text()}"
            self._since = _Since()
            self._console.print(Text(line), soft_wrap=not self._console.is_terminal, highlight=False)

    def close(self) -> None:
        """Nothing is left to be done."""


def status_line(watch: Watch) -> str:
    """Return how a run stands in one line."""
    status, rate = watch.status or {}, watch.rate(watch.wall_s)
    parts = [f"{watch.merge:,}/{watch.planned:,} merges" + (f", {rate_text(rate)}" if rate else "")]
    parts.append(f"{status.get('in_flight', 0):,} in flight")
    parts.append(f"{status.get('there', 0):,} nodes there")
    if away := status.get("away", 0):
        named = ", ".join(map(str, status["away_clients"][:MOST_CLIENTS]))
        parts.append(f"{away:,} away (client {named}{', ...' if away > MOST_CLIENTS else ''})")
    parts.append(energy_text(watch.energy_j))
    return "  ".join(parts)


class _Since:
    """What has happened since the last line."""

    def __init__(self) -> None:
        self._staleness: Counter[float] = Counter()
        self._ended: dict[int, Counter[str]] = {}
        self._newest: dict[int, str] = {}

    def add(self, event: Event) -> None:
        kind = event["event"]
        if kind == "merge":
            self._staleness[event["staleness"]] += 1
        elif kind in TROUBLE:
            client = event["client"]
            self._ended.setdefault(client, Counter())[kind] += 1
            if reason := event.get("reason", ""):
                self._newest[client] = shown(reason, MOST_REASON)

    def text(self) -> str:
        stale = staleness_counted(self._staleness)
        text = f"  stale median {stale['median']:g}, max {stale['max']:g}" if self._staleness else ""
        worst = sorted(self._ended, key=lambda client: -self._ended[client].total())
        for client in worst[:MOST_CLIENTS]:
            counts = ", ".join(f"{count:,} {TROUBLE[kind]}" for kind, count in self._ended[client].items())
            newest = f' (newest: "{self._newest[client]}")' if client in self._newest else ""
            text += f"  client {client}: {counts}{newest}"
        return text + (f"  and {more:,} clients more" if (more := len(worst) - MOST_CLIENTS) > 0 else "")
