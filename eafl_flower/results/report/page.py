"""One self-contained HTML page: no scripts, nothing loaded from elsewhere, light and dark, on a phone and on paper.

Every text is taken as a text, never as markup: it may come from a client. Only ``Html``, which functions here and in
``terms.py`` make, is taken as it is. Paths of the machine are cut to their last part.
"""

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from eafl_flower.core.words import MOST, MOST_LINE, shown
from eafl_flower.results.report.style import STYLE

# From the root of a disk, or of a home: two folders at least, so that "/s" stays.
_PATH = re.compile(r"""(?<![\w./\\~-])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\"'<>|:;,()]+)+[/\\](?=[^\s/\\"'<>|:;,()])""")


class Html(str):
    """Markup that was made here: text within it is escaped."""

    __slots__ = ()


def text(value: object, most: int = MOST) -> Html:
    """Return a value as a text of a page; what is markup already stays.

    Examples
    --------
    >>> text("<b>"), text("no file /home/me/data/a.csv"), text("12 MB/s")
    ('&lt;b&gt;', 'no file …/a.csv', '12 MB/s')
    """
    if isinstance(value, Html):
        return value
    return Html(html.escape(without_paths(shown(value, most))))


def without_paths(line: str) -> str:
    """Return a line in which paths from the root of a disk are cut to their last part: pages are passed on.

    Examples
    --------
    >>> without_paths("cannot open '/home/me/runs/a.toml'"), without_paths("runs/a/b.toml")
    ("cannot open '…/a.toml'", 'runs/a/b.toml')
    """
    return _PATH.sub("…/", line)


def joined(*parts: object) -> Html:
    """Return texts and markup, one after the other."""
    return Html("".join(map(text, parts)))


def noted(name: object, remark: object) -> Html:
    """Return a text with a smaller remark below it, if there is one."""
    return Html(f"{text(name)}<small>{text(remark, MOST_LINE)}</small>") if remark else text(name)


def page(title: str, parts: Iterable[str], *, kind: str, facts: object = "", verdict: Sequence[object] = ()) -> str:
    """Return a complete HTML document.

    Parameters
    ----------
    title
        Its one heading.
    parts
        Markup that follows.
    kind
        What sort of page this is, in a word or two, above the title.
    facts
        One quiet line below the title.
    verdict
        What came out, in sentences, the most important one first.
    """
    head = [f'<p class="kind">{text(kind)}</p>', f"<h1>{text(title)}</h1>"]
    if facts:
        head.append(f'<p class="facts">{text(facts, MOST_LINE)}</p>')
    if verdict:
        sentences = "\n".join(f"<p>{text(sentence, MOST_LINE)}</p>" for sentence in verdict)
        head.append(f'<div class="verdict">\n{sentences}\n</div>')
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n"
        + "\n".join(head)
        + "\n</header>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: object, *parts: str, note: object = "") -> Html:
    """Return a titled section; ``note`` says in a sentence how to read it. Parts that are empty are left out."""
    inner = [part for part in parts if part]
    return Html("\n".join(["<section>", f"<h2>{text(title)}</h2>", *_noted(note), *inner, "</section>"]))


def part(title: object, *parts: str, note: object = "") -> Html:
    """Return a titled part of a section."""
    return Html("\n".join([f"<h3>{text(title)}</h3>", *_noted(note), *filter(None, parts)]))


def paragraph(line: object, style: str = "note") -> Html:
    """Return a quiet line of text, or with style ``"warning"`` one that is not to be overlooked."""
    return Html(f'<p class="{style}">{text(line, MOST_LINE)}</p>')


def tiles(values: Iterable[tuple[object, object, object]]) -> Html:
    """Return a few large values side by side: what each is, the value, and what else is to be said of it."""
    cells = [
        f"<div><dt>{text(name)}</dt><dd>{text(value)}{f'<small>{text(more)}</small>' if more else ''}</dd></div>"
        for name, value, more in values
    ]
    return Html('<dl class="tiles">\n' + "\n".join(cells) + "\n</dl>") if cells else Html()


def figures(*drawn: str) -> Html:
    """Return figures side by side where there is room, below each other elsewhere; none of none."""
    shown_ones = [figure for figure in drawn if figure]
    return Html('<div class="figures">\n' + "\n".join(shown_ones) + "\n</div>") if shown_ones else Html()


def table(
    header: Sequence[object],
    rows: Iterable[Sequence[Any]],
    *,
    own: int = -1,
    text_columns: int = 1,
    caption: object = "",
) -> Html:
    """Return a table; the first ``text_columns`` are text, the others numbers; row ``own`` stands out.

    Where the window is too narrow the table scrolls within its own box.
    """

    def cells(values: Sequence[Any], *, in_head: bool) -> str:
        made = []
        for index, value in enumerate(values):
            tag = "th" if in_head or index == 0 else "td"
            scope = "" if tag == "td" else ' scope="col"' if in_head else ' scope="row"'
            kind = "" if index < text_columns else " class=number"
            made.append(f"<{tag}{scope}{kind}>{text(value, MOST if in_head else MOST_LINE)}</{tag}>")
        return "".join(made)

    body = "\n".join(
        f"<tr{' class=own' if index == own else ''}>{cells(row, in_head=False)}</tr>" for index, row in enumerate(rows)
    )
    head = f"<thead><tr>{cells(header, in_head=True)}</tr></thead>\n" if any(header) else ""
    named = f"<caption>{text(caption)}</caption>\n" if caption else ""
    # with a tabindex it can be scrolled without a mouse
    return Html(f'<div class="scroll" tabindex="0">\n<table>\n{named}{head}<tbody>\n{body}\n</tbody>\n</table>\n</div>')


def details(summary: object, *parts: str) -> Html:
    """Return parts that are folded away until asked for."""
    return Html(f"<details><summary>{text(summary)}</summary>\n" + "\n".join(parts) + "\n</details>")


def _noted(note: object) -> list[str]:
    return [paragraph(note)] if note else []
