"""Columns of a CSV file of one's own as features: what is refused, and how texts become numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.tables.files import listed, read_header
from eafl_flower.data.tables.lines import line_of
from eafl_flower.data.tables.names import NO_NAME, commonest_spelling
from eafl_flower.data.tables.numbers import written_numbers
from eafl_flower.errors import DataError
from eafl_flower.types import Array

if TYPE_CHECKING:
    import pandas as pd

MAX_WORDS = 200
COMMON_WORDS = 20
OTHER = "other"
# Numbers that programs write where they know nothing; not -1 and 0, which are values too often.
_SIGNS = (-99, -777, -999, -9999, -99999, 999, 9999, 9999.99, 99999, 999999, 2147483647, -2147483648)
# Such a number is taken for a sign if it is this many times the others' range away from them, or if it stands in
# several rows below 0 and no other number does. What is honest is not to be refused, so it takes that much.
_FAR = 5.0
# Texts, in small letters, that programs write into a cell that has no value.
_NOTHING = NO_NAME | {"unknown"}
_LARGEST = 1e150  # whose square is a number
_LEAVE_OUT = "leave out the row or the column (name the others as features)"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of a file's columns; an empty ``client`` or ``time``: none, empty ``features``: all numbers left."""

    label: str
    client: str = ""
    time: str = ""
    features: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """A column of a file as features of a model.

    Parameters
    ----------
    name
        What the file calls it.
    words
        Of a column of texts, those that have a feature each; one more is for all others. None: a column of numbers.
    unit
        The unit that was written behind its numbers, in small letters; empty if there was none.

    Examples
    --------
    >>> road = TableColumn(name="road", words=("city", "rural"))
    >>> road.feature_names
    ('road=city', 'road=rural', 'road=other')
    >>> [column.tolist() for column in road.values(np.array(["rural", "sea"]))]
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    """

    name: str
    words: tuple[str, ...] | None = None
    unit: str = ""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of its features, for people: two columns may give the same ones."""
        return (self.name,) if self.words is None else tuple(f"{self.name}={word}" for word in (*self.words, OTHER))

    def codes(self, cells: Array) -> Array:
        """Return codes of cells ``(n,)``: equal codes mean equal features."""
        if self.words is None:
            return cells
        import pandas as pd

        return pd.Index(self.words).get_indexer(pd.Index(cells))

    def values(self, cells: Array) -> list[NDArray[np.float64]]:
        """Return its features, ``(n,)`` each, of cells ``(n,)``: numbers, or texts without surrounding blanks."""
        if self.words is None:
            return [cells.astype(np.float64)]
        return [
            *((cells == word).astype(np.float64) for word in self.words),
            (~np.isin(cells, list(self.words))).astype(np.float64),
        ]


def candidates(path: Path, columns: Columns) -> tuple[str, ...]:
    """Return the names of the columns that may be features: those named, or all that have no other use.

    Raises
    ------
    DataError
        If a column is missing or has two uses.
    """
    header = read_header(path)
    special = [name for name in (columns.label, columns.client, columns.time) if name]
    named = [*special, *columns.features]
    if missing := [name for name in named if name not in header]:
        msg = f"{path} has no column {', '.join(missing)}: found {listed(header)}"
        raise DataError(msg)
    if twice := [name for name in dict.fromkeys(named) if named.count(name) > 1]:
        msg = f"{path}: column {', '.join(twice)} is named for two uses; features, label, client and time must differ"
        raise DataError(msg)
    return columns.features or tuple(name for name in header if name and name not in special)


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureColumns:
    """Columns of a file by name, numbers or texts, ``(n,)`` each; units behind the numbers; what to tell about them."""

    values: dict[str, Array]
    units: dict[str, str]
    notes: tuple[str, ...]


def feature_columns(path: Path, table: "pd.DataFrame", *, texts: bool) -> FeatureColumns:
    """Return the columns of a table that are numbers and, if ``texts``, words; else words are left out.

    A column counts as numeric, or as true and false, if most of its non-empty cells are; numbers may be written as
    ``written_numbers`` reads them.

    Raises
    ------
    DataError
        If a cell is empty, not a number among numbers, or a sign for "unknown"; if numbers can be read in two ways; if
        a text has too many values; if nothing is left.
    """
    found: dict[str, Array] = {}
    units: dict[str, str] = {}
    notes: list[str] = []
    for name in map(str, table.columns):
        numbers = _numbers(table[name])
        if not _is_of_numbers(table[name], numbers):
            cells = table[name].to_numpy(dtype=object).astype(str)
            written = written_numbers(path, name, cells, _says(table[name]))
            if written is None:
                if texts:
                    found[name], more = commonest_spelling(name, cells, of="word")
                    _refuse_many(path, name, found[name])
                    notes += more
                continue
            numbers, units[name] = written.numbers, written.unit
            notes += [written.note] if written.note else []
        _refuse_cells(path, name, table[name], numbers, f"; fill it, or {_LEAVE_OUT}")
        _refuse_signs(path, name, numbers)
        found[name] = numbers
    if not found:
        msg = f"{path} has no column of numbers beside label, client and time; name columns of text as features"
        raise DataError(msg)
    if left_out := [name for name in map(str, table.columns) if name not in found]:
        notes.append(f"columns of text are no features unless --features names them: {listed(left_out)}")
    return FeatureColumns(values=found, units=units, notes=tuple(notes))


def table_columns(features: FeatureColumns, rows: NDArray[np.int64]) -> tuple[TableColumn, ...]:
    """Return what columns are for a model: of texts, the words commonest among ``rows``."""
    return tuple(
        TableColumn(name=name, unit=features.units.get(name, ""))
        if values.dtype.kind == "f"
        else TableColumn(name=name, words=_commonest(values[rows]))
        for name, values in features.values.items()
    )


def encoded(columns: Sequence[TableColumn], cells: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return the features ``(n, d)`` of a table's cells, numbers or texts ``(n,)`` by the name of their column."""
    return np.stack([values for column in columns for values in column.values(cells[column.name])], axis=1)


def _commonest(values: Array) -> tuple[str, ...]:
    found, count = np.unique(values, return_counts=True)
    return tuple(str(word) for word in found[np.lexsort((found, -count))[:COMMON_WORDS]])


def _refuse_many(path: Path, name: str, words: Array) -> None:
    if (different := len(np.unique(words))) > MAX_WORDS:
        msg = (
            f"{path}, column {name}: {different:,} different texts, at most {MAX_WORDS} can be a feature; leave it out "
            "or turn it into numbers"
        )
        raise DataError(msg)


def numbers_of(path: Path, name: str, column: "pd.Series", unit: str = "") -> tuple[NDArray[np.float64], str]:
    """Return a column that ``files.read_table`` has read as numbers, ``(n,)``, and what to tell, empty if nothing.

    True and False are 1 and 0; numbers may be written as ``written_numbers`` reads them, in ``unit``.

    Raises
    ------
    DataError
        If a cell is no finite number; names the first one.
    """
    numbers, note = _numbers(column), ""
    if not _is_of_numbers(column, numbers):
        cells = column.to_numpy(dtype=object).astype(str)
        if written := written_numbers(path, name, cells, _says(column), unit=unit):
            numbers, note = written.numbers, written.note
    _refuse_cells(path, name, column, numbers)
    return numbers, note


def _numbers(column: "pd.Series") -> NDArray[np.float64]:
    # pandas leaves a column as texts for one number beyond 64 bits, one behind a no-break space, or one empty cell.
    import pandas as pd

    numbers: NDArray[np.float64] = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    none = np.isnan(numbers)
    if np.isin(numbers[~none], (0, 1)).all():  # beside other numbers True is a mistake
        numbers[none] = _truths(column)[none]
    return numbers


def _truths(column: "pd.Series") -> NDArray[np.float64]:
    if column.dtype.kind in "iufb":
        return np.full(len(column), np.nan)
    return np.asarray(column.str.lower().map({"true": 1.0, "false": 0.0}), dtype=np.float64)


def _is_of_numbers(column: "pd.Series", numbers: NDArray[np.float64]) -> bool:
    if column.dtype.kind in "iufb":
        return True
    says = _says(column)
    number = ~np.isnan(numbers) | ~np.isnan(_truths(column))
    return bool(number[says].sum() > says.sum() / 2)


def _says(column: "pd.Series") -> NDArray[np.bool_]:
    said: NDArray[np.bool_] = ~column.str.lower().isin(_NOTHING).to_numpy(dtype=np.bool_)
    return said


def _refuse_cells(path: Path, name: str, column: "pd.Series", numbers: NDArray[np.float64], remedy: str = "") -> None:
    if not len(bad := np.flatnonzero(~np.isfinite(numbers))):
        return
    row = int(bad[0])
    cell = str(column.iloc[row])
    shown = repr(cell) if cell else "an empty cell"
    msg = f"{path}, line {line_of(path, row)}, column {name}: expected a number, found {shown}{remedy}"
    raise DataError(msg)


def _refuse_signs(path: Path, name: str, values: NDArray[np.float64]) -> None:
    if np.abs(values).max() > _LARGEST:
        largest = int(np.abs(values).argmax())
        msg = f"{path}, line {line_of(path, largest)}, column {name}: {values[largest]:g} is too large to be scaled"
        raise DataError(msg)
    rest = values[~np.isin(values, _SIGNS)]
    if len(rest) == 0 or np.ptp(rest) == 0:
        return
    for sign in (float(values.min()), float(values.max())):
        places = np.flatnonzero(values == sign)
        far = np.abs(rest - sign).min() > _FAR * np.ptp(rest)
        lone_negative = sign < 0 <= rest.min() and len(places) > 1
        if sign in _SIGNS and (far or lone_negative):
            count = "1 row" if len(places) == 1 else f"{len(places):,} rows"
            msg = (
                f"{path}, line {line_of(path, int(places[0]))}, column {name}: {sign:.15g} stands in {count}, "
                f"{'far from' if far else 'below'} the other values ({rest.min():g} to {rest.max():g}), and seems to "
                f"mean 'unknown'; write a number that can be compared with the others, or {_LEAVE_OUT}"
            )
            raise DataError(msg)
