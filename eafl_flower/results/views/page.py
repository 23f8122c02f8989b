"""One self-contained HTML page: no scripts, nothing loaded from elsewhere, light and dark.

Every text is taken as a text, never as markup: it may come from a client.
"""

import html
from collections.abc import Iterable, Sequence
from typing import Any

from eafl_flower.core.words import MOST, MOST_LINE, shown

_STYLE = """
:root { color-scheme: light dark; --ground: #fdfdfc; --ink: #1f2328; --faint: #6a737d; --line: #d8dce0;
  --series-0: #0072b2; --series-1: #c25100; --series-2: #00805d; --series-3: #9d4a82; --series-4: #8a6d00;
  --series-5: #3d4b57; }
@media (prefers-color-scheme: dark) { :root { --ground: #15181c; --ink: #e3e6ea; --faint: #99a3ad; --line: #343a41;
  --series-0: #56b4e9; --series-1: #f0894a; --series-2: #2fbf95; --series-3: #d99ac4; --series-4: #e3c33d;
  --series-5: #b9c4cf; } }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 60rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem; }
p.note { color: var(--faint); margin: 0 0 1rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; overflow-x: auto; }
figure svg { width: 100%; max-width: 56rem; min-width: 32rem; height: auto; }
figure svg text { font-family: system-ui, sans-serif; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: bottom; }
th { font-weight: 600; color: var(--faint); }
td.number, th.number { text-align: right; }
td:first-child { white-space: nowrap; }
tr.own td { font-weight: 600; }
details summary { cursor: pointer; color: var(--faint); }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """Return a complete HTML document."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_text(title)}</h1>\n" + "\n".join(sections) + "\n</body>\n</html>\n"
    )


def section(title: str, *parts: str, note: str = "") -> str:
    """Return a titled section; ``note`` says in a sentence how to read it."""
    return "\n".join([f"<h2>{_text(title)}</h2>", *([paragraph(note)] if note else []), *parts])


def paragraph(text: str) -> str:
    """Return a quiet line of text."""
    return f'<p class="note">{_text(text, MOST_LINE)}</p>'


def figure(svg: str) -> str:
    """Return a figure that scrolls sideways where the window is narrow."""
    return f"<figure>{svg}</figure>"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], *, own: int = -1, text_columns: int = 1) -> str:
    """Return a table; the first ``text_columns`` are text, the others numbers; row ``own`` stands out."""

    def cells(tag: str, values: Sequence[Any]) -> str:
        most = MOST if tag == "th" else MOST_LINE
        return "".join(
            f"<{tag}{'' if index < text_columns else ' class=number'}>{_text(value, most)}</{tag}>"
            for index, value in enumerate(values)
        )

    body = "\n".join(
        f"<tr{' class=own' if index == own else ''}>{cells('td', row)}</tr>" for index, row in enumerate(rows)
    )
    head = f"<thead><tr>{cells('th', header)}</tr></thead>\n" if any(header) else ""
    return f'<div class="scroll"><table>\n{head}<tbody>\n{body}\n</tbody></table></div>'


def details(summary: str, *parts: str) -> str:
    """Return parts that are folded away until asked for."""
    return f"<details><summary>{_text(summary)}</summary>\n" + "\n".join(parts) + "\n</details>"


def _text(value: object, most: int = MOST) -> str:
    return html.escape(shown(value, most))
