"""The lines of a CSV file, plain or gzip: the names in its header, and where in the file a row stands."""

import csv
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.tables.unpacked import open_gzip
from eafl_flower.errors import DataError

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def header_names(path: Path) -> tuple[str, ...]:
    """Return the names in the header of a CSV file without surrounding blanks, all of them; none if it is empty.

    Raises
    ------
    DataError
        If it is no table whose cells are separated by commas.
    OSError, UnicodeDecodeError, EOFError, zlib.error
        If the file cannot be read.
    """
    with opened(path) as stream:
        _, names = next(_records(stream), (0, []))
    if any("\0" in name for name in names):
        msg = f"{path} is not a text file"
        raise DataError(msg)
    names = [name.strip() for name in names]
    if len(names) == 1 and (used := [word for sign, word in _SEPARATORS.items() if sign in names[0]]):
        msg = f"{path}: its cells are separated by {used[0]}; write them with commas (and decimals with points)"
        raise DataError(msg)
    return tuple(names)


@contextmanager
def table_below(path: Path, header: str) -> Iterator[TextIO]:
    """Open a CSV file with another header in place of its own.

    Raises
    ------
    DataError, OSError, UnicodeDecodeError, EOFError, zlib.error
        As ``header_names``.
    """
    with opened(path) as stream:
        next(_records(stream), None)
        yield cast(TextIO, _Behind(f"{header}\n", stream))


class _Behind:
    """A text before what is left of a stream."""

    def __init__(self, start: str, rest: TextIO) -> None:
        self._start, self._rest = start, rest

    def read(self, size: int = -1) -> str:
        start, self._start = self._start, ""
        return start or self._rest.read(size)

    def __iter__(self) -> Iterator[str]:
        return iter(self.read, "")


def line_of(path: object, row: int) -> int:
    """Return the line of the file on which a row of its table begins; the first row below the header is row 0.

    Blank lines are no rows, and a quoted cell may hold line ends.
    """
    return lines_of(path, [row])[0]


def lines_of(path: object, rows: Sequence[int]) -> list[int]:
    """Return the line of each row, as ``line_of``; the file is read once."""
    place = {row + 1: row + 2 for row in rows}  # of a table that does not lie in a file
    last = max(place, default=0)
    try:
        with opened(Path(str(path))) as stream:
            for number, (line, _) in enumerate(_records(stream)):
                if number in place:
                    place[number] = line
                if number >= last:
                    break
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, DataError):
        pass
    return [place[row + 1] for row in rows]


def lines_text(path: object, rows: Sequence[int] | NDArray[np.int64], most: int = 3) -> str:
    """Return the lines of rows in words, not more than ``most`` of them.

    Examples
    --------
    >>> lines_text("no file", [0]), lines_text("no file", [0, 3, 4, 9, 11])
    ('line 2', 'lines 2, 5, 6 and 2 more')
    """
    shown = ", ".join(map(str, lines_of(path, [int(row) for row in rows[:most]])))
    more = f" and {len(rows) - most:,} more" if len(rows) > most else ""
    return f"{'line' if len(rows) == 1 else 'lines'} {shown}{more}"


def _records(stream: TextIO) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(stream)
    line = 1
    for cells in reader:
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield line, cells
        line = reader.line_num + 1


def opened(path: Path) -> TextIO:
    """Open a file as text in UTF-8, plain or gzip: its content tells which.

    Raises
    ------
    DataError
        If it is a pipe, a zip file or an archive of arrays; reading raises it when too much is unpacked.
    OSError
        If it cannot be opened.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        msg = f"{path} is a pipe or a device, and tables are read more than once: save it to a file"
        raise DataError(msg)
    # The content tells what is compressed, not the name.
    with path.open("rb") as stream:
        start = stream.read(256)
    if start.startswith(ZIP) and b".npy" in start:
        msg = f"{path} holds arrays of numpy, such as images, and no table; a run checks them when it reads them"
        raise DataError(msg)
    if start.startswith(ZIP):
        msg = f"{path} is a zip file; unpack it, and name the CSV file in it"
        raise DataError(msg)
    if start.startswith(GZIP):
        return open_gzip(path)
    return path.open(encoding="utf-8-sig", newline="")
