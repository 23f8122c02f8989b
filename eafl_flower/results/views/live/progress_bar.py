"""The one line of a terminal that tells how a run stands while it goes on."""

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from eafl_flower.core.words import shown

_MOST_NAME = 20  # letters of a run's name beside the bar
_ROOMY = 70  # columns from which jobs in flight, energy and times have a place


class ProgressBar:
    """Merges, score, jobs in flight, energy and times; it takes itself away when it is closed."""

    def __init__(self, console: Console, name: str, *, planned: int, done: int, in_flight: int) -> None:
        roomy = console.width >= _ROOMY
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}{task.fields[merges]}", style="default", markup=False),
            _Told("score", "green"),
        ]
        if roomy:
            columns += [_Told("in_flight"), _Told("energy"), TimeElapsedColumn()]
        self._progress = Progress(
            *columns,
            *([TextColumn("left", style="dim"), TimeRemainingColumn()] if console.width >= 2 * _ROOMY else []),
            console=console,
            transient=True,
            expand=True,
            refresh_per_second=5,
        )
        self._task = self._progress.add_task(
            shown(name, _MOST_NAME),
            total=planned,
            completed=done,
            merges=" merges" if roomy else "",
            score="",
            in_flight=f"{in_flight:,} in flight",
            energy="",
        )
        self._progress.start()

    def update(self, *, merge: int, energy: str) -> None:
        """Show how many merges are made, and the joules behind them."""
        self._progress.update(self._task, completed=merge, energy=energy)

    def tell_score(self, score: str) -> None:
        """Show the newest score."""
        self._progress.update(self._task, score=score)

    def tell_in_flight(self, jobs: int) -> None:
        """Show how many jobs are open."""
        self._progress.update(self._task, in_flight=f"{jobs:,} in flight")

    def finishing(self) -> None:
        """Say that training is over: baselines take a while."""
        self._progress.update(self._task, description="finishing", in_flight="")

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


class _Told(ProgressColumn):
    """A text of the task by its name, never markup."""

    def __init__(self, field: str, style: str = "") -> None:
        super().__init__()
        self._field, self._style = field, style

    def render(self, task: Task) -> Text:
        """Return the text."""
        return Text(task.fields[self._field], self._style, no_wrap=True)
