"""Tables that fit a window: what has no place beside the first column goes into a table of its own below.

Nothing is cut. A name that is wider than its column is folded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_PADDING, _BETWEEN = 2, 1  # columns of the window beside each of a table, and between two


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    title, cells
        What stands in it; of several lines the longest counts.
    least
        How narrow it may be folded; None: never.
    is_text
        Whether it begins at the left.
    """

    title: Text
    cells: Sequence[Text]
    least: int | None = None
    is_text: bool = False

    @property
    def whole(self) -> int:
        """How wide it is if nothing is folded."""
        return max(cell_len(line) for text in (self.title, *self.cells) for line in text.plain.split("\n"))

    @property
    def narrowest(self) -> int:
        """How narrow it may be."""
        return self.whole if self.least is None else min(self.least, self.whole)


def fitted(
    first: Column, others: Sequence[Column], *, width: int, styles: Sequence[str] = (), is_ruled: bool = True
) -> Group:
    """Return a table, or several below each other that all begin with the first column.

    Parameters
    ----------
    first, others
        The columns; all have as many cells.
    width
        Columns of the window.
    styles
        Style of each row.
    is_ruled
        Whether a line divides titles and cells.
    """
    if others and _narrowest([replace(first, least=None), others[0]]) <= width:
        first = replace(first, least=None)  # rather another table than a folded name
    tables, at_hand = list[Table](), list(others)
    while at_hand or not tables:
        taken = [first]
        while at_hand and (len(taken) == 1 or _narrowest([*taken, at_hand[0]]) <= width):
            taken.append(at_hand.pop(0))
        tables.append(_table(taken, styles, width, is_ruled=is_ruled))
    spaced: list[RenderableType] = [part for table in tables for part in (Text(), table)]
    return Group(*spaced[1:])


def _narrowest(columns: Sequence[Column]) -> int:
    return sum(column.narrowest + _PADDING + _BETWEEN for column in columns) - _BETWEEN


def _table(columns: Sequence[Column], styles: Sequence[str], width: int, *, is_ruled: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD if is_ruled else None, header_style="dim", show_edge=False)
    is_tight = _narrowest(columns) > width  # even the first with one more: then anything is folded
    lines = max(column.title.plain.count("\n") for column in columns)
    for column in columns:
        above = Text("\n" * (lines - column.title.plain.count("\n")))
        table.add_column(
            above.append_text(column.title),
            justify="left" if column.is_text else "right",
            overflow="fold",
            no_wrap=column.least is None and not is_tight,
            min_width=None if is_tight else column.narrowest,
        )
    for place, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
        table.add_row(*cells, style=styles[place] if styles else None)
    return table
