"""SUMO's floating-car output: XML, plain or gzip, read in pieces.

``<timestep time="0.00"><vehicle id="0" x="1.0" y="2.0" speed="0.0" .../></timestep>``; other elements, such as persons,
are passed over. A document that declares entities is refused: SUMO writes none, and a few lines of them can stand for
gigabytes.
"""

from array import array
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np

from eafl_flower.data.tables.files import reported
from eafl_flower.data.tables.lines import opened
from eafl_flower.errors import DataError
from eafl_flower.mobility.recordings import Samples

_PIECE = 1 << 16  # bytes
_BOUND = "the end of it is missing; copy it again, or let the simulation end"


def is_xml(path: Path) -> bool:
    """Whether a file, plain or gzip, begins as XML does; raises ``DataError`` if it cannot be read."""
    with reported(path), opened(path) as stream:
        return stream.buffer.read(_PIECE).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def read_floating_cars(path: Path, *, geographic: bool = False) -> Samples:
    """Read what ``sumo --fcd-output FILE`` has written.

    Parameters
    ----------
    path
        The file.
    geographic
        Whether it was written with ``--fcd-output.geo``: x and y are longitude and latitude.

    Raises
    ------
    DataError
        If it is missing, cut short, not well-formed or no such output, a number is none, or degrees are taken for
        metres.
    """
    reader = _Reader(path)
    with reported(path), opened(path) as stream:
        while piece := stream.buffer.read(_PIECE):
            reader.parse(piece)
        reader.parse(b"", is_last=True)
    x, y = np.array(reader.x, np.float64), np.array(reader.y, np.float64)
    if not geographic and len(x) and np.hypot(np.ptp(x), np.ptp(y)) < min(1.0, reader.fastest_m_s):
        msg = (
            f"{path}: vehicles go up to {reader.fastest_m_s:g} m/s, and yet all places lie within 1 m: are x and y "
            "longitude and latitude? Then say so (geographic=True, or --geographic)"
        )
        raise DataError(msg)
    return Samples(
        names=tuple(reader.names),
        vehicle=np.array(reader.vehicle, np.int64),
        time_s=np.array(reader.time_s, np.float64),
        x=x,
        y=y,
        geographic=geographic,
    )


class _Reader:
    """Takes a document in pieces, and keeps what vehicles tell."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: dict[str, int] = {}
        self.vehicle, self.time_s, self.x, self.y = array("q"), array("d"), array("d"), array("d")
        self.fastest_m_s = 0.0
        self._now_s: float | None = None
        self._depth = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._started
        self._parser.EndElementHandler = self._ended
        self._parser.EntityDeclHandler = self._declared

    def parse(self, piece: bytes, *, is_last: bool = False) -> None:
        try:
            self._parser.Parse(piece, is_last)
        except expat.ExpatError as error:
            if is_last:
                msg = f"{self.path}, line {error.lineno}: the document ends within an element: {_BOUND}"
            else:
                msg = f"{self.path} is not well-formed XML: {error}"
            raise DataError(msg) from error

    def _started(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and tag != "fcd-export":
            msg = f"{self.path} is XML of {tag!r}, expected 'fcd-export': what sumo --fcd-output writes"
            raise DataError(msg)
        if tag == "timestep":
            self._now_s = self._number(tag, attributes, "time")
        elif tag == "vehicle":
            if self._now_s is None:
                raise DataError(f"{self._where()}: a vehicle that is in no timestep")
            name = attributes.get("id")
            if not name:
                raise DataError(f"{self._where()}: a vehicle without id")
            self.x.append(self._number(tag, attributes, "x"))
            self.y.append(self._number(tag, attributes, "y"))
            self.vehicle.append(self.names.setdefault(name, len(self.names)))
            self.time_s.append(self._now_s)
            if "speed" in attributes:
                self.fastest_m_s = max(self.fastest_m_s, self._number(tag, attributes, "speed"))

    def _ended(self, tag: str) -> None:
        self._depth -= 1
        if tag == "timestep":
            self._now_s = None

    def _declared(self, name: str, *_: Any) -> None:
        msg = (
            f"{self._where()}: the document declares an entity, {name!r}, which no output of SUMO does; it is not read"
        )
        raise DataError(msg)

    def _number(self, tag: str, attributes: dict[str, str], key: str) -> float:
        text = attributes.get(key)
        try:
            number = float(text) if text is not None else np.nan
        except ValueError:
            number = np.nan
        if not np.isfinite(number):
            found = "none" if text is None else repr(text)
            msg = f"{self._where()}: expected a number for {key} of {tag}, found {found}"
            raise DataError(msg)
        return float(number)

    def _where(self) -> str:
        return f"{self.path}, line {self._parser.CurrentLineNumber}"
