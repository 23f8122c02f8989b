"""What all figures of a page share: their size and style, a caption, and a legend that is text of the page.

A figure is as wide as a phone; on a desk several stand side by side. So its letters can be read on both.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eafl_flower.core.words import MOST_LINE, shown
from eafl_flower.results.report.page import Html, text, without_paths
from eafl_flower.results.views.drawing import FAINT, SERIES, figure_of, label_of, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN: Final = 4.9
_MOST_LETTERS: Final = 48  # beside an axis
_DASHES: Final = ("6 3", "2 2.5", "7 2.5 1.5 2.5", "1 3", "9 3 2 3 2 3")
LINES: Final[tuple[Any, ...]] = tuple((0, tuple(float(n) for n in dash.split())) for dash in _DASHES)
_MARKS: Final = ("o", "s", "^", "D", "v", "P", "X")
_STYLE: Final[dict[str, Any]] = {
    "font.size": 10.5,
    "axes.labelsize": 10.5,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.grid.axis": "y",
    "axes.labelpad": 5.0,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.7,
    "xtick.color": FAINT,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "axes.labelcolor": FAINT,
    "ytick.left": False,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
    "lines.linewidth": 2.0,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Entry:
    """A line of a legend: a sample of how something is drawn, its name, and a value that goes with it.

    ``kind`` is "line", "dashes" (then ``place`` says which), "dot", "ring", "bar", "triangle", "cross" or "none".
    """

    name: str | Html
    colour: int | str = 0
    kind: str = "line"
    place: int = 0
    value: str = ""


def series(index: int) -> str:
    """Return the colour of a series; colours come round again."""
    return SERIES[index % len(SERIES)]


def mark(index: int) -> str:
    """Return the mark of a series."""
    return _MARKS[index % len(_MARKS)]


@contextmanager
def axes_of(height_in: float = 2.9, *, x: str = "", y: str = "", grid: str = "y") -> "Iterator[tuple[Any, Axes]]":
    """Give a figure as wide as a phone, and its axes with their labels."""
    with figure_of(WIDTH_IN, height_in, **{**_STYLE, "axes.grid.axis": grid}) as (figure, axes):
        figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.03)
        axes.set_xlabel(label(x, _MOST_LETTERS))
        if y:  # above the axis, where it can be read, and takes no width
            axes.set_title(label(y, _MOST_LETTERS), loc="left", fontsize=10.5, color=FAINT, pad=8)
        yield figure, axes


def label(name: str, most: int = 80) -> str:
    """Return a text for the inside of a figure, of so many letters at most."""
    return label_of(shown(without_paths(name), most))


def whole(axis: Any) -> None:
    """Let an axis have ticks at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))


def finished(
    figure: Any, name: str, *, title: object, description: str, note: object = "", entries: Sequence[Entry] = ()
) -> Html:
    """Return the figure with what belongs to it.

    Parameters
    ----------
    figure
        Of Matplotlib.
    name
        A word that no other figure of the page has.
    title, note
        Its caption: what it is, and how to read it.
    description
        What is read aloud to those who do not see it.
    entries
        What stands for what; a legend of one entry without a value says nothing and is left out.
    """
    caption = f"<strong>{text(title)}</strong>" + (f"<span>{text(note, 1000)}</span>" if note else "")
    key = "" if len(entries) == 1 and not entries[0].value else legend(entries)
    svg = svg_of(figure, name, shown(without_paths(description), MOST_LINE))
    return Html(f"<figure>\n<figcaption>{caption}</figcaption>\n{key}{svg}</figure>")


def scaled(largest: float, scales: Sequence[tuple[float, str]]) -> tuple[float, str]:
    """Return the largest of some scales (factor, unit) that a value reaches, the last one if it reaches none."""
    return next((one for one in scales if largest >= one[0]), scales[-1])


def bytes_scale(largest: float) -> tuple[float, str]:
    """Return in what to draw bytes: factor and unit."""
    return scaled(largest, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")))


def time_scale(largest_s: float) -> tuple[float, str]:
    """Return in what to draw times: factor and unit."""
    return (3600.0, "h") if largest_s >= 7200 else (60.0, "min") if largest_s >= 600 else (1.0, "s")


def energy_scale(largest_j: float) -> tuple[float, str]:
    """Return in what to draw energies: factor and unit."""
    return scaled(largest_j, ((1e3, "kJ"), (1.0, "J"), (1e-3, "mJ")))


def through(axes: "Axes", xs: Sequence[float], ys: Sequence[float], colour: str, **look: Any) -> None:
    """Draw a line with a dot at each point where there are few; a point that is alone gets its dot, too."""
    if len(xs) <= 24:
        look = {"marker": "o", "markersize": 3.6, **look}
    axes.plot(xs, ys, color=colour, **look)


def from_to(values: Sequence[float], words: Callable[[float], str]) -> str:
    """Return in words how a curve goes: ``from 40.9 % to 77.5 %``."""
    if not values or not all(map(math.isfinite, (values[0], values[-1]))):
        return "no values"
    if len(values) == 1:
        return words(values[0])
    return f"from {words(values[0])} to {words(values[-1])}"


def legend(entries: Sequence[Entry]) -> Html:
    """Return a legend as text of the page; nothing of none."""
    if not entries:
        return Html()
    items = "\n".join(
        f"<li>{_sample(entry)}<span>{text(entry.name, 80)}"
        f"{f' <b>{text(entry.value)}</b>' if entry.value else ''}</span></li>"
        for entry in entries
    )
    return Html(f'<ul class="legend">\n{items}\n</ul>\n')


def _sample(entry: Entry) -> str:
    if entry.kind == "none":
        return ""
    colour = f"var(--series-{entry.colour % len(SERIES)})" if isinstance(entry.colour, int) else f"var({entry.colour})"
    drawn = {
        "line": f'<path d="M1 6H25" stroke="{colour}" stroke-width="2.5" stroke-linecap="round"/>',
        "dashes": f'<path d="M1 6H25" stroke="{colour}" stroke-width="2" '
        f'stroke-dasharray="{_DASHES[entry.place % len(_DASHES)]}"/>',
        "dot": f'<circle cx="13" cy="6" r="4.5" fill="{colour}"/>',
        "ring": f'<circle cx="13" cy="6" r="3.6" fill="none" stroke="{colour}" stroke-width="1.8"/>',
        "bar": f'<rect x="4" y="1" width="18" height="10" rx="1.5" fill="{colour}"/>',
        "triangle": f'<path d="M13 1L18.5 11H7.5Z" fill="{colour}"/>',
        "cross": f'<path d="M9 2L17 10M17 2L9 10" stroke="{colour}" stroke-width="2"/>',
    }[entry.kind]
    return f'<svg viewBox="0 0 26 12" aria-hidden="true">{drawn}</svg>'
