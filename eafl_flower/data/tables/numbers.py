"""Numbers that are not written as CSV files have them: with decimal commas, marks between thousands, or units.

A column of such numbers is read if there is one way to do so, and that is said; else it is refused by name. Whether
a comma stands before decimals or between thousands is decided by the whole column: "22,5" can only be the first,
"1,234,567" and "1,234.5" only the second, and a column of "1,234" and "5,678" is refused. So is one that has both
"1,234" and "1.5", or cells in several units.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.tables.files import counted
from eafl_flower.data.tables.lines import line_of
from eafl_flower.errors import DataError
from eafl_flower.types import Array

UNITS = (
    *("km/h", "kmh", "km/hr", "kph", "m/s", "mph", "mi/h", "ft/s", "kn", "kt", "knots", "m/s2", "m/s^2", "m/s²"),
    *("km", "m", "cm", "mm", "um", "µm", "mi", "miles", "ft", "feet", "in", "yd"),
    *("d", "h", "hrs", "min", "mins", "s", "sec", "secs", "ms", "us", "µs", "ns"),
    *("%", "‰", "ppm", "°", "deg", "rad", "°c", "°f", "c", "f", "k", "kg", "g", "mg", "t", "lb", "lbs"),
    *("w", "mw", "kw", "wh", "kwh", "j", "kj", "mj", "v", "mv", "kv", "a", "ma", "mah", "hz", "khz", "mhz", "ghz"),
    *("db", "dbm", "b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "bytes", "bit", "bits", "b/s", "bit/s", "bps"),
    *("kbit/s", "mbit/s", "gbit/s", "kbps", "mbps", "gbps", "kb/s", "mb/s", "gb/s"),
    *("pa", "hpa", "kpa", "mbar", "bar", "psi", "n", "nm", "rpm", "l", "ml", "lx", "lux", "usd", "eur", "gbp"),
)
CURRENCIES = "$€£¥"
SAMPLE = 1000
_BETWEEN = "'\u2019 \u00a0\u202f"  # between thousands, whatever the decimals
_UNIT = re.compile(
    rf"(?P<before>[{CURRENCIES}]?)\s*(?P<number>[+-]?[\d.,][\d.,{_BETWEEN}]*?(?:e[+-]?\d+)?)\s*"
    rf"(?P<unit>{'|'.join(map(re.escape, sorted(UNITS, key=len, reverse=True)))}|[{CURRENCIES}]|)",
    re.ASCII | re.IGNORECASE,
)


def _form(decimal: str, thousands: str) -> re.Pattern[str]:
    between = f"[{re.escape(thousands)}{_BETWEEN}]"
    whole = rf"(?:\d{{1,3}}(?:{between}\d{{3}})+|\d+)"
    return re.compile(
        rf"[+-]?(?:{whole}(?:{re.escape(decimal)}\d*)?|{re.escape(decimal)}\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE
    )


@dataclass(frozen=True, kw_only=True)
class _Convention:
    decimal: str
    thousands: str
    words: str

    def numbers(self, cells: list[str]) -> NDArray[np.float64]:
        form = _form(self.decimal, self.thousands)
        without = str.maketrans(self.decimal, ".", self.thousands + _BETWEEN)
        return np.array([float(c.translate(without)) if form.fullmatch(c) else np.nan for c in cells], np.float64)

    def in_doubt(self, cells: list[str]) -> bool:
        """Whether marks between thousands may be decimal marks of another hand: no cell shows that they are not."""
        marked = [cell for cell in cells if self.thousands in cell]
        return bool(marked) and all(cell.count(self.thousands) == 1 and self.decimal not in cell for cell in marked)


_POINTS = _Convention(decimal=".", thousands=",", words="commas between thousands")
_COMMAS = _Convention(decimal=",", thousands=".", words="decimal commas")


@dataclass(frozen=True, kw_only=True, eq=False)
class WrittenNumbers:
    """A column's numbers ``(n,)``, nan where a cell says nothing; the unit behind all of them; what to tell."""

    numbers: NDArray[np.float64]
    unit: str
    note: str


def written_numbers(
    path: Path, name: str, cells: Array, says: NDArray[np.bool_], *, unit: str = ""
) -> WrittenNumbers | None:
    """Read a column of texts ``(n,)`` as numbers; None if not more than half of those that say anything are any.

    Parameters
    ----------
    path, name
        File and column, for messages.
    cells, says
        Texts without surrounding blanks; whether they say anything.
    unit
        The unit that the numbers must have if they have one; empty: any.

    Raises
    ------
    DataError
        If most are numbers, but there is more than one way to read them, or none for some; names the line of one.
    """
    rows = np.flatnonzero(says)
    few = rows[:: max(len(rows) // SAMPLE, 1)]
    if not any((match := _UNIT.fullmatch(str(cells[row]))) and _is_number(match["number"]) for row in few):
        return None  # what more than half are is among these; a long column of words costs no more than that
    found = [_UNIT.fullmatch(str(cells[row])) for row in rows]
    bodies = [match["number"] if match else "" for match in found]
    units = [(match["before"] or match["unit"]).lower() if match else "" for match in found]
    readings = {convention: convention.numbers(bodies) for convention in (_POINTS, _COMMAS)}
    any_way = ~np.isnan(readings[_POINTS]) | ~np.isnan(readings[_COMMAS])
    if not len(rows) or any_way.mean() <= 0.5:
        return None
    different = sorted(set(units))
    if len(different) > 1 and (len(different) > 3 or all(len(u) == 1 and u.isalpha() for u in different)):
        return None  # words that begin with digits

    def refused(place: int, why: str) -> DataError:
        row = int(rows[place])
        return DataError(f"{path}, line {line_of(path, row)}, column {name}: {str(cells[row])!r} {why}")

    if not any_way.all():
        raise refused(
            int(np.argmin(any_way)), "among numbers is none; write a number, or leave out the row or the column"
        )
    if len(different) > 1:
        place = next(i for i, u in enumerate(units) if u != units[0])
        raise refused(place, f"has not the unit of {str(cells[rows[0]])!r}; write plain numbers, all in one unit")
    if unit and different[0] not in ("", unit.lower()):
        raise refused(0, f"is not in {unit}, as the numbers in training were; write plain numbers, in {unit}")
    convention = _chosen(bodies, readings)
    if isinstance(convention, str):
        place = next(i for i, body in enumerate(bodies) if "," in body or "." in body)
        raise refused(place, f"{convention}; write decimals with points, and nothing between thousands")
    values = readings[convention]
    numbers = np.full(len(cells), np.nan)
    numbers[rows] = values
    marked = [i for i, body in enumerate(bodies) if units[i] or "," in body or any(sign in body for sign in _BETWEEN)]
    if not marked:
        return WrittenNumbers(numbers=numbers, unit="", note="")
    example = marked[0]
    written = _in_words(convention, bodies, match["before"] or match["unit"] if (match := found[0]) else "")
    note = (
        f"column {name}: {counted(len(marked), 'cell')} read as numbers with {written}, "
        f"{str(cells[rows[example]])!r} as {values[example]:.15g}; write plain numbers with decimal points to be sure"
    )
    return WrittenNumbers(numbers=numbers, unit=units[0], note=note)


def _is_number(body: str) -> bool:
    return any(not np.isnan(convention.numbers([body])[0]) for convention in (_POINTS, _COMMAS))


def _chosen(bodies: list[str], readings: dict[_Convention, NDArray[np.float64]]) -> _Convention | str:
    """Return the one convention in which all cells are numbers, or why there is none."""
    possible = [convention for convention, numbers in readings.items() if not np.isnan(numbers).any()]
    if not any("," in body for body in bodies) and _POINTS in possible:
        return _POINTS
    if len(possible) == 2:
        body = next(body for body in bodies if "," in body)
        return f"may be {float(body.replace(',', '')):g} or {float(body.replace(',', '.')):g}"
    if not possible or possible[0].in_doubt(bodies):
        return "and others of the column are not written in one way, commas and points are mixed"
    return possible[0]


def _in_words(convention: _Convention, bodies: list[str], unit: str) -> str:
    parts = []
    if any("," in body for body in bodies):
        parts.append(convention.words)
    if any(sign in body for body in bodies for sign in _BETWEEN):
        parts.append("signs between thousands")
    if unit:
        parts.append(f"the unit {unit}")
    return " and ".join(parts)
