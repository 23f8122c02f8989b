"""Text that came from a file or over the network, before it is drawn or written anywhere.

A name may hold anything: escape sequences that drive a terminal, marks that turn the writing direction, half a
character, a formula, a megabyte. Whoever shows one asks ``shown``, whoever writes a table ``cell``.
"""

import re
import sys
import unicodedata
from typing import Any

MOST = 200  # letters of a name that is shown
MOST_LINE = 2_000  # letters of a line of an error message
# Controls, format marks (that turn the direction, for example), halves of characters, ends of lines.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # format marks that some scripts cannot be written without
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def shown(value: object, most: int = MOST) -> str:
    r"""Return a text as one line of characters that can be seen; what cannot is written as Python escapes it.

    Examples
    --------
    >>> shown("speed\x1b[2J\n"), shown("a long name", most=6), shown("Größe 拥堵")
    ('speed\\x1b[2J\\n', 'a lon…', 'Größe 拥堵')
    """
    text = str(value)
    if len(text) > most:
        text = text[: most - 1] + "…"
    return text if text.isascii() and text.isprintable() else "".join(map(_seen, text))


def message(value: object, most: int = MOST_LINE) -> str:
    """Return a text of several lines, each as ``shown`` returns it."""
    return "\n".join(shown(line, most) for line in str(value).split("\n"))


def reason(error: Exception, most: int = MOST) -> str:
    r"""Return the first line of what an error says, without its full stop, or else what kind of error it is.

    Examples
    --------
    >>> reason(ValueError("no such file.\nTry another one.")), reason(ValueError()), reason(KeyError("architecture"))
    ('no such file', 'ValueError', "KeyError: 'architecture'")
    """
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    kind = f"{type(error).__name__}: " if isinstance(error, KeyError) else ""  # whose text is only the key
    return shown(kind + lines[0].rstrip("."), most)


def cell(value: Any) -> Any:
    """Return a value for a cell of a CSV file: a text that a spreadsheet would calculate gets a quote before it.

    A number stays as it is, also one that is written with a sign.

    Examples
    --------
    >>> cell("=1+1"), cell("@SUM(A1)"), cell("-1.5e3"), cell("-x"), cell(-2)
    ("'=1+1", "'@SUM(A1)", '-1.5e3', "'-x", -2)
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    text = value.encode("utf-8", "backslashreplace").decode("utf-8")  # half a character cannot be written
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def forgive_standard_streams() -> None:
    """Let what the terminal, or a pipe, has no letters for be written as escapes instead of ending the process."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _seen(character: str) -> str:
    if unicodedata.category(character) in _UNSEEN and character not in _JOINERS:
        return character.encode("unicode_escape").decode()
    return character
