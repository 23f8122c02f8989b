"""Drawing of figures as inline SVG that follows the page's colours, light or dark.

Needs Matplotlib (extra ``report``). The colours drawn are placeholders; in the SVG they become CSS
variables, so that one figure serves both themes, and text stays text.
"""

import hashlib
import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eafl_flower.core.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholder colour -> CSS variable. The page says what each is, on a light ground and on a dark one.
INK, FAINT, PALE = "#010203", "#040506", "#040507"
SERIES = tuple(f"#0a0b{index:02x}" for index in range(7))
_VARIABLES = {INK: "--ink", FAINT: "--faint", PALE: "--pale"} | {
    colour: f"--series-{i}" for i, colour in enumerate(SERIES)
}
_MOST_LEGEND = 80  # letters of a name in a legend
_ROUNDED = re.compile(r"(\.\d\d)\d+")


@contextmanager
def figure_of(width_in: float, height_in: float, **changed: Any) -> "Iterator[tuple[Figure, Axes]]":
    """Give a figure of this size and its axes, in a style that ``changed`` changes.

    Raises
    ------
    ImportError
        If Matplotlib is missing.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "figures need Matplotlib: pip install 'eafl-flower[report]'"
        raise ImportError(msg) from error
    style: dict[str, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "eafl-flower",  # the same run gives the same page
        "font.family": ["DejaVu Sans"],
        "font.size": 10,
        "text.parse_math": False,  # a name with two dollar signs is no formula
        "text.color": INK,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.facecolor": "none",
        "figure.facecolor": "none",
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": FAINT,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        **changed,
    }
    with matplotlib.rc_context(style):  # type: ignore[arg-type]  # a plain dict of known keys
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        yield figure, figure.subplots()


def label_of(title: str) -> str:
    """Return a name for the legend; Matplotlib leaves out one that begins with an underscore."""
    text = shown(title, _MOST_LEGEND)
    return f" {text}" if text.startswith("_") else text


def id_of(name: str) -> str:
    """Return a word for the ids of a figure: the name if it is one, else its digest."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,40}", name):
        return name
    return f"score-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def svg_of(figure: "Figure", name: str, description: str) -> str:
    """Return the figure as an SVG element; ``name`` makes its ids unique on a page, ``description`` is read aloud."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    # Several figures share a page, ids must not clash.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    # A figure is a few hundred points wide: hundredths of one are enough.
    text = re.sub(r' (?:d|x|y|transform|points)="[^"]*"', lambda found: _ROUNDED.sub(r"\1", found[0]), text)
    # Let the page give the font and the width.
    text = re.sub(r"font-family: [^;\"]*; ?", "", text)
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</defs>", "", text, flags=re.DOTALL)
    label = f'role="img" aria-label="{html.escape(description)}"'
    size = r'<svg ([^>]*?)width="[^"]*" height="[^"]*"'
    return re.sub(size, lambda found: f"<svg {found[1]}{label}", text, count=1)  # no backslash of a name is an escape
