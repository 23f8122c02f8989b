"""What others said, short enough to be quoted: a node may send a megabyte where a name is expected."""

from collections.abc import Iterable
from typing import Final

MOST_LETTERS: Final = 80
MOST_QUOTED: Final = 8


def excerpt(value: object, most: int = MOST_LETTERS) -> str:
    r"""Return the beginning of a text, without characters that a terminal would obey.

    Examples
    --------
    >>> excerpt("speed"), excerpt("\x1b[2Jowned\n"), excerpt("x" * 1000, most=4)
    ('speed', '\\x1b[2Jowned\\n', 'xxxx… (1000 characters)')
    """
    text = value if isinstance(value, str) else _number(value)
    cut = text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def excerpts(names: Iterable[object], most: int = MOST_QUOTED) -> str:
    """Return the first of ``names`` as a list in brackets, and how many more there are."""
    names = list(names)
    more = "" if len(names) <= most else f", … ({len(names)} in all)"
    return f"[{', '.join(excerpt(name) for name in names[:most])}{more}]"


def _number(value: object) -> str:
    """Return a value as text; Python refuses to write integers of thousands of digits."""
    if isinstance(value, int) and value.bit_length() > 1024:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, list | tuple | set):
        return excerpts(value)
    return str(value)
