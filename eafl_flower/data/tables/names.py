"""Names in cells, of classes and of clients: a missing one is none, and one name may be written in several ways."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eafl_flower.data.tables.files import listed
from eafl_flower.data.tables.lines import lines_text
from eafl_flower.errors import DataError
from eafl_flower.types import Array

# Texts, in small letters, that programs write where there is no name. "unknown" may be a class.
NO_NAME = frozenset({"", "-", "?", "#n/a", "<na>", "n/a", "na", "nan", "-nan", "nil", "none", "null"})
_NUMBER = re.compile(r"([+-]?)(\d+)\.?(\d*)", re.ASCII)


def plain_name(text: str) -> str:
    """Return what all ways to write a name have in common.

    Case, blanks, forms of the same letter, a plus, and zeros behind a number's point make no difference; zeros in front
    of it do.

    Examples
    --------
    >>> [plain_name(text) for text in (" High  Speed", "high speed", "3", "3.0", "+3", "-0.0", "2.50", "007")]
    ['high speed', 'high speed', '3', '3', '3', '0', '2.5', '007']
    """
    name = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    if not (number := _NUMBER.fullmatch(name)):
        return name
    sign, whole, fraction = number.groups()
    digits = f"{whole}.{fraction}".rstrip("0").rstrip(".") if fraction else whole
    return digits if sign != "-" or not digits.strip("0.") else f"-{digits}"


def refuse_missing(path: object, column: str, cells: Array, *, of: str) -> None:
    """Refuse texts ``(n,)`` of which one is no name.

    Raises
    ------
    DataError
        Names the first lines, and what to do.
    """
    import pandas as pd

    missing = np.flatnonzero(pd.Series(cells, dtype="str").str.strip().str.lower().isin(NO_NAME).to_numpy())
    if len(missing):
        cell = str(cells[missing[0]]).strip()
        shown = repr(cell) if cell else "an empty cell"
        msg = (
            f"{path}, {lines_text(path, missing)}, column {column}: {shown} names no {of}; fill it or leave the row "
            f"out (if it is a {of}, call it otherwise)"
        )
        raise DataError(msg)


def one_spelling(path: Path, column: str, cells: Array, *, of: str) -> tuple[Array, tuple[str, ...]]:
    """Return names ``(n,)`` as ``commonest_spelling`` does.

    Raises
    ------
    DataError
        If a text is no name, as ``refuse_missing``.
    """
    refuse_missing(path, column, cells, of=of)
    return commonest_spelling(column, cells, of=of)


def commonest_spelling(column: str, cells: Array, *, of: str) -> tuple[Array, tuple[str, ...]]:
    """Return texts ``(n,)`` in which each name has its commonest spelling, and a note if there were others."""
    import pandas as pd

    code, found = pd.factorize(np.asarray(cells, dtype=object))
    counts = np.bincount(code)
    spellings: dict[str, list[int]] = {}
    for number, text in enumerate(found):
        spellings.setdefault(plain_name(str(text)), []).append(number)
    chosen, others = np.array([str(text) for text in found], dtype=object), []
    for numbers in spellings.values():
        best = min(numbers, key=lambda number: (-counts[number], str(found[number])))
        for number in sorted(set(numbers) - {best}, key=lambda number: str(found[number])):
            chosen[number] = str(found[best])
            others.append(f"{str(found[number])!r} ({counts[number]:,}) as {str(found[best])!r}")
    if not others:
        return chosen[code].astype(str), ()
    note = (
        f"column {column}: cells that are written differently are taken for one {of}: {listed(others, most=6)}; "
        "write them alike, or call them otherwise if they differ"
    )
    return chosen[code].astype(str), (note,)


def spelled_as(known: Sequence[str], column: str, cells: Array, *, of: str) -> tuple[Array, tuple[str, ...]]:
    """Return texts ``(n,)``, spelled as in ``known`` where they are only written differently, and a note."""
    import pandas as pd

    meant = {plain_name(name): name for name in reversed(known)}
    code, found = pd.factorize(np.asarray(cells, dtype=object))
    words = [str(text) for text in found]
    chosen = [word if word in known else meant.get(plain_name(word), word) for word in words]
    counts = np.bincount(code, minlength=len(words))
    taken = [f"{a!r} ({n:,}) as {b!r}" for a, b, n in zip(words, chosen, counts, strict=True) if a != b]
    note = f"column {column}: cells are read as a {of} that is written differently: {listed(taken, most=6)}"
    return np.array(chosen, dtype=object)[code].astype(str), (note,) if taken else ()
