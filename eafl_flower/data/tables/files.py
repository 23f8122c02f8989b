"""Finding and reading data files, with one clear message for each way that can fail."""

import csv
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eafl_flower.core.stamps import noted
from eafl_flower.data.tables.lines import header_names, line_of, lines_text, table_below
from eafl_flower.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

DATA_DIR_VARIABLE = "EAFL_DATA_DIR"


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file we can read: where it is looked for and where its publisher offers it.

    ``relative`` is its documented place under the data folder; the bare file name directly in the
    folder, and both without ``.gz``, are found too.
    """

    title: str
    relative: str
    published: str

    def candidates(self) -> tuple[str, ...]:
        """Relative paths that are tried, in order."""
        plain = self.relative.removesuffix(".gz")
        return (self.relative, plain, Path(self.relative).name, Path(plain).name)


def find(file: DataFile, data_dir: str | os.PathLike[str] = "") -> Path:
    """Return the path of ``file`` under ``data_dir``, or under the folder in ``EAFL_DATA_DIR``.

    ``data_dir`` may also be the file itself.

    Raises
    ------
    DataError
        If no folder is given or the file is not in it; says what is expected and where it is published.
    """
    given = str(data_dir) or os.environ.get(DATA_DIR_VARIABLE, "")
    expected = f"expected {file.relative} ({file.title}; published at {file.published})"
    if not given:
        msg = f"no data folder: set data.dir or the variable {DATA_DIR_VARIABLE}; {expected}"
        raise DataError(msg)
    root = Path(given).expanduser()
    if root.is_file():
        return noted(root)
    if not root.is_dir():
        msg = f"data folder {root} does not exist; {expected}"
        raise DataError(msg)
    for name in file.candidates():
        if (root / name).is_file():
            return noted(root / name)
    msg = f"no file {' or '.join(dict.fromkeys(file.candidates()))} in {root}; {expected}"
    raise DataError(msg)


def find_own(
    name: str | os.PathLike[str], data_dir: str | os.PathLike[str] = "", *, setting: str, advice: str = ""
) -> Path:
    """Return the path of a user's file: as it is, or under the data folder if it is relative and not here.

    Raises
    ------
    DataError
        If it is in neither place; names the ``setting``.
    """
    path = Path(name).expanduser()
    folder = str(data_dir) or os.environ.get(DATA_DIR_VARIABLE, "")
    places = [path] if path.is_absolute() or not folder else [path, Path(folder).expanduser() / path]
    for place in places:
        if place.is_file():
            return noted(place)
    msg = f"{setting}: no file {' or '.join(map(str, places))}{advice and f': {advice}'}"
    raise DataError(msg)


def read_header(path: Path) -> tuple[str, ...]:
    """Return the column names of a CSV file, plain or gzip.

    Raises
    ------
    DataError
        If the file is empty or no table with commas.
    """
    with reported(path):
        names = header_names(path)
    if not names:
        msg = f"{path} is empty"
        raise DataError(msg)
    return names


def read_columns(
    path: Path, *, numeric: Sequence[str] = (), text: Sequence[str] = (), published: str = ""
) -> "pd.DataFrame":
    """Read some columns of a CSV file, plain or gzip, with or without a byte-order mark.

    Parameters
    ----------
    path
        The file.
    numeric, text
        Columns to read as float64, and as strings without surrounding blanks; others are skipped.
    published
        Where the original is published, for messages.

    Returns
    -------
    pandas.DataFrame
        The columns in the order asked for.

    Raises
    ------
    DataError
        If the file is empty, truncated or not CSV, a column is missing, or a cell is not what it should be.
    """
    header = read_header(path)
    wanted = [*numeric, *text]
    missing = [name for name in wanted if name not in header]
    if missing:
        where = f"; the original is published at {published}" if published else ""
        msg = f"{path} has no column {', '.join(missing)}: found {listed(header)}{where}"
        raise DataError(msg)
    try:
        table = _read(path, columns=wanted, kinds={**dict.fromkeys(numeric, "float64"), **dict.fromkeys(text, "str")})
    except (ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        # Only a broken file pays for a second, slower reading that finds the cell.
        table = _read(path, columns=wanted, kinds=dict.fromkeys(wanted, "str"))
        _refuse_bad_cells(path, table, numeric)
        msg = f"{path} cannot be read: {error}"
        raise DataError(msg) from error
    if len(table) == 0:
        msg = f"{path} has a header but no rows"
        raise DataError(msg)
    _refuse_bad_cells(path, table, numeric)
    for name in text:
        table[name] = table[name].str.strip()
    return table[wanted]


def read_text(path: Path) -> "pd.DataFrame":
    """Read a whole CSV file as strings, exactly as written; empty cells are empty strings."""
    header = read_header(path)
    return _read(path, columns=header, kinds=dict.fromkeys(header, "str"))


def read_table(path: Path, *, text: Sequence[str], others: Sequence[str]) -> "pd.DataFrame":
    """Read columns of a file that we do not know, strings without surrounding blanks.

    Parameters
    ----------
    path
        The file, CSV, plain or gzip.
    text, others
        Columns to read as strings, and as what they hold: numbers if every cell is one, else strings.

    Raises
    ------
    DataError
        If the file is empty, truncated or not CSV, or has no rows.
    """
    table = _read(path, columns=[*text, *others], kinds=dict.fromkeys(text, "str"))
    if len(table) == 0:
        msg = f"{path} has a header but no rows"
        raise DataError(msg)
    for name in table.columns:
        if table[name].dtype.kind not in "iufb":
            table[name] = table[name].astype("str").str.strip()
    return table


def _read(path: Path, *, columns: Sequence[str], kinds: dict[str, str]) -> "pd.DataFrame":
    import pandas as pd

    with reported(path):
        header = read_header(path)
        if twice := [name for name in dict.fromkeys(columns) if header.count(name) > 1]:
            msg = f"{path}: column {listed(twice, most=6)} stands twice in the header; rename one of them"
            raise DataError(msg)
        # By position, for pandas gives names of its own to columns without one. One more column, behind the last, shows
        # rows that are longer than the header.
        place = {name: str(number) for number, name in enumerate(header)}
        extra = str(len(header))
        with table_below(path, ",".join(map(str, range(len(header) + 1)))) as stream:
            table = pd.read_csv(
                stream,
                usecols=[*(place[name] for name in columns), extra],
                dtype={**{place[name]: kind for name, kind in kinds.items()}, extra: "category"},
                # The empty cell alone is a missing number; "NA" or "None" in a text column is a word.
                keep_default_na=False,
                na_values={place[name]: [""] for name, kind in kinds.items() if kind == "float64"},
                index_col=False,
                low_memory=False,
            )
    longer = np.flatnonzero(table[extra].notna() & (table[extra] != ""))
    if len(longer):
        row = int(longer[0])
        msg = f"{path}, line {line_of(path, row)}: more cells than the header has columns ({len(header)})"
        raise DataError(msg)
    return table[[place[name] for name in columns]].set_axis(list(columns), axis=1)


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Say what is wrong with a file that cannot be read."""
    import pandas as pd

    try:
        yield
    except FileNotFoundError as error:
        msg = f"no file {path}"
        raise DataError(msg) from error
    except EOFError as error:
        msg = f"{path} is truncated: the compressed data end early; copy or download it again"
        raise DataError(msg) from error
    except (zlib.error, gzip.BadGzipFile) as error:
        msg = (
            f"{path} is damaged: the compressed data are not as they were written ({error}); copy or download it again"
        )
        raise DataError(msg) from error
    except (pd.errors.ParserError, csv.Error) as error:
        msg = f"{path} is not a proper CSV file: {str(error).strip()}"
        raise DataError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not a text file in UTF-8 (byte {error.start}), plain or compressed by gzip; save it as UTF-8"
        raise DataError(msg) from error
    except OSError as error:
        msg = f"{path} cannot be read: {error}"
        raise DataError(msg) from error


def _refuse_bad_cells(path: Path, table: "pd.DataFrame", numeric: Sequence[str]) -> None:
    import pandas as pd

    for name in numeric:
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            cell = table[name].iloc[bad[0]]
            shown = "an empty cell" if pd.isna(cell) or cell == "" else repr(str(cell))
            line = line_of(path, int(bad[0]))
            msg = f"{path}, line {line}, column {name}: expected a number, found {shown}"
            raise DataError(msg)


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names for a message, not more of them than one can take in."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def counted(number: int, noun: str) -> str:
    """Return a number of things in words.

    Examples
    --------
    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def refuse_below_zero(path: Path, table: "pd.DataFrame", columns: Sequence[str]) -> None:
    """Refuse a table with a number below 0 in one of ``columns``, which count or measure something.

    Raises
    ------
    DataError
        Names the lines.
    """
    for name in columns:
        values = table[name].to_numpy()
        if len(below := np.flatnonzero(values < 0)):
            msg = (
                f"{path}, {lines_text(path, below)}, column {name}: {values[below[0]]:g} is below 0, and this "
                "is a count or a size; mend it or leave the row out"
            )
            raise DataError(msg)
