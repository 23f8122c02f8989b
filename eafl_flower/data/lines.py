"""The lines of a CSV file, plain or gzip: the names in its header, and where in the file a row stands."""

import csv
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from eafl_flower.data.unpacked import open_gzip
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
    with _opened(path) as stream:
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
    with _opened(path) as stream:
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
    try:
        with _opened(Path(str(path))) as stream:
            for number, (line, _) in enumerate(_records(stream)):
                if number == row + 1:
                    return line
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, DataError):
        pass
    return row + 2  # of a table that does not lie in a file


def _records(stream: TextIO) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(stream)
    line = 1
    for cells in reader:
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield line, cells
        line = reader.line_num + 1


def _opened(path: Path) -> TextIO:
    if path.exists() and not path.is_file() and not path.is_dir():
        msg = f"{path} is a pipe or a device, and tables are read more than once: save it to a file"
        raise DataError(msg)
    # The content tells what is compressed, not the name.
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == ZIP:
        msg = f"{path} is a zip file; unpack it, and name the CSV file in it"
        raise DataError(msg)
    if start.startswith(GZIP):
        return open_gzip(path)
    return path.open(encoding="utf-8-sig", newline="")
