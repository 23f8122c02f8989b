"""The publisher's GeoLife folder as one table: each point of a PLT file joined to the label interval its time lies in.

Layout of the original, in a folder or a zip file, below any other folder: ``Data/USER/labels.txt`` with start, end and
mode of each interval, and ``Data/USER/Trajectory/*.plt`` with six lines of header, then latitude, longitude, 0,
altitude in feet (-777: unknown), days, date and time. Times of both are GMT.

Coordinates and altitudes are copied as they are written. The output must not be passed on: the licence of
GeoLife forbids it.
"""

import gzip
import io
import lzma
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eafl_flower.core.durable import open_unlinked
from eafl_flower.core.words import cell
from eafl_flower.data.tables.unpacked import limit_text, most_bytes
from eafl_flower.errors import DataError

COLUMNS = ("user", "latitude", "longitude", "altitude", "date_time", "label", "segment", "trajectory")
# What reading a damaged member of a zip file may raise, by its method of compression.
_DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, UnicodeDecodeError)
_HEADER_LINES = 6
_PLT_NAMES = ("latitude", "longitude", "zero", "altitude", "days", "date", "time")
_LABELS = re.compile(r"(?:.*/)?([^/]+)/labels\.txt")
_TRAJECTORY = re.compile(r"(?:.*/)?([^/]+)/Trajectory/([^/]+)\.plt")


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What was written, and what was not: reasons with the number of times."""

    points: int
    segments: int
    users: int
    skipped: tuple[tuple[str, int], ...]

    def lines(self) -> list[str]:
        """Return the summary as lines of text."""
        return [
            f"{self.points:,} labelled points of {self.users} users in {self.segments:,} segments",
            *(f"skipped: {count:,} {reason}" for reason, count in self.skipped),
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Intervals:
    """Label intervals of a user in the order of the file: first and last second, both within, and mode."""

    start_s: NDArray[np.int64]
    end_s: NDArray[np.int64]
    mode: tuple[str, ...]


class _Source(Protocol):
    def names(self) -> list[str]: ...
    def read(self, name: str) -> bytes: ...


def prepare_geolife(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> Prepared:
    """Write the table of labelled points, plain or, if its name ends in ``.gz``, compressed.

    Every point whose time lies in a label interval is written, in the order of users and time; ``segment`` is the index
    of the interval among its user's, ``trajectory`` the name of the PLT file. A point of two intervals
    goes to the one that begins later: most such intervals share their last and first second. Points of a user that are
    equal in time and place are written once. The file appears when it is complete.

    Parameters
    ----------
    source
        The folder, or the zip file, as the publisher has it.
    out
        The file to write.

    Raises
    ------
    DataError
        If the source is missing, a damaged zip file, of another layout or holds a user twice, has no labelled point, or
        ``out`` exists or has another ending.
    """
    source, out = Path(source), Path(out)
    if not out.name.endswith((".csv", ".csv.gz")):
        msg = f"{out}: expected a name that ends in .csv or .csv.gz"
        raise DataError(msg)
    if out.exists():
        msg = f"{out} exists already; remove it or give another name"
        raise DataError(msg)
    with _opened(source) as files:
        labels, trajectories, skipped = _inventory(files, source)
        part = out.with_name(f"{out.name}.part")
        points = segments = users = 0
        try:
            with _writer(part, compressed=out.name.endswith(".gz")) as stream:
                stream.write(",".join(COLUMNS) + "\n")
                for user in sorted(labels):
                    table = _labelled(files, user, labels[user], trajectories.get(user, []), skipped)
                    table.to_csv(stream, header=False, index=False, lineterminator="\n")
                    points += len(table)
                    segments += table["segment"].nunique()
                    users += len(table) > 0
            if points == 0:
                msg = f"{source}: no point lies in a label interval; {_told(skipped)}"
                raise DataError(msg)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    return Prepared(
        points=points,
        segments=segments,
        users=users,
        skipped=tuple((reason, count) for reason, count in skipped.items() if count),
    )


def read_labels(text: str, *, skipped: Counter[str]) -> Intervals | None:
    """Read a ``labels.txt``, None if it has another header.

    That, and lines that are no interval, are counted in ``skipped``; such lines keep their index.
    """
    start, end, mode = [], [], []
    lines = text.splitlines()
    if not lines or not lines[0].lower().startswith("start time"):
        skipped["users whose labels.txt does not begin with 'Start Time'"] += 1
        return None
    for line in lines[1:]:
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        times = pd.to_datetime(pd.Series(cells[:2], dtype="str"), format="%Y/%m/%d %H:%M:%S", errors="coerce")
        good = len(cells) == 3 and not times.isna().any() and times[0] <= times[1] and cells[2] != ""
        if not good:
            skipped["lines of labels.txt that are no interval"] += 1
        # An interval that ends before it begins holds no point, and the others keep their index.
        seconds = times.to_numpy().astype("datetime64[s]").astype(np.int64) if good else np.array([0, -1])
        start.append(int(seconds[0]))
        end.append(int(seconds[1]))
        mode.append(cells[2] if good else "")
    return Intervals(start_s=np.array(start, dtype=np.int64), end_s=np.array(end, dtype=np.int64), mode=tuple(mode))


def segment_of(time_s: NDArray[np.int64], intervals: Intervals) -> NDArray[np.int64]:
    """Return the index of the interval each time lies in, ``(n,)``; of several the last to begin, of none -1."""
    segment = np.full(len(time_s), -1, dtype=np.int64)
    order = np.argsort(time_s, kind="stable")
    ordered = time_s[order]
    for number in np.argsort(intervals.start_s, kind="stable"):
        low = np.searchsorted(ordered, intervals.start_s[number], side="left")
        high = np.searchsorted(ordered, intervals.end_s[number], side="right")
        segment[order[low:high]] = number
    return segment


def _labelled(files: _Source, user: str, labels: str, trajectories: list[str], skipped: Counter[str]) -> pd.DataFrame:
    intervals = read_labels(files.read(labels).decode("utf-8-sig", "replace"), skipped=skipped)
    if intervals is None:
        return pd.DataFrame(columns=list(COLUMNS))
    tables: list[pd.DataFrame] = []
    for name in trajectories:
        points = _read_plt(files.read(name))
        if points is None:
            skipped["PLT files without points or with lines that are none"] += 1
            continue
        time_s = points["seconds"].to_numpy()
        segment = segment_of(time_s, intervals)
        inside = segment >= 0
        skipped["points outside of every label interval"] += int((~inside).sum())
        if inside.any():
            tables.append(points[inside].assign(segment=segment[inside], trajectory=Path(name).stem))
    empty = pd.DataFrame(columns=["latitude", "longitude", "altitude", "seconds", "segment", "trajectory"])
    table = pd.concat(tables, ignore_index=True) if tables else empty
    skipped["label intervals without points"] += len(intervals.mode) - table["segment"].nunique()
    place = table[["latitude", "longitude"]].apply(pd.to_numeric)
    repeated = pd.concat([table["seconds"], place], axis=1).duplicated()
    skipped["points that repeat one of the same user, time and place"] += int(repeated.sum())
    kept: pd.DataFrame = table[~repeated].sort_values("seconds", kind="stable")
    kept["user"] = cell(user)
    kept["label"] = [cell(intervals.mode[number]) for number in kept["segment"]]
    kept["trajectory"] = [cell(name) for name in kept["trajectory"]]
    kept["date_time"] = pd.to_datetime(kept["seconds"].astype("int64"), unit="s").dt.strftime("%Y-%m-%d %H:%M:%S")
    return kept[list(COLUMNS)]


def _read_plt(content: bytes) -> pd.DataFrame | None:
    try:
        table = pd.read_csv(
            io.BytesIO(content), skiprows=_HEADER_LINES, header=None, names=list(_PLT_NAMES), dtype="str",
            keep_default_na=False,
        )  # fmt: skip
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError):
        return None
    texts = table["date"].str.strip() + " " + table["time"].str.strip()
    times = pd.to_datetime(texts, format="%Y-%m-%d %H:%M:%S", errors="coerce")
    numbers = table[["latitude", "longitude", "altitude"]].apply(pd.to_numeric, errors="coerce")
    if len(table) == 0 or times.isna().any() or not np.isfinite(numbers.to_numpy()).all():
        return None
    return table[["latitude", "longitude", "altitude"]].assign(
        seconds=times.to_numpy().astype("datetime64[s]").astype(np.int64)
    )


def _inventory(files: _Source, source: Path) -> tuple[dict[str, str], dict[str, list[str]], Counter[str]]:
    labels: dict[str, str] = {}
    trajectories: dict[str, list[str]] = {}
    for name in sorted(files.names()):
        if found := _LABELS.fullmatch(name):
            if (other := labels.setdefault(found[1], name)) != name:
                msg = f"{source} has user {found[1]} twice: {other} and {name}; give the folder of one of the copies"
                raise DataError(msg)
        elif found := _TRAJECTORY.fullmatch(name):
            trajectories.setdefault(found[1], []).append(name)
    if not labels or not trajectories:
        msg = (
            f"{source} is not laid out as GeoLife: found {len(labels)} USER/labels.txt and "
            f"{sum(map(len, trajectories.values()))} USER/Trajectory/*.plt"
        )
        raise DataError(msg)
    skipped: Counter[str] = Counter()
    skipped["users without labels"] = len(trajectories.keys() - labels.keys())
    skipped["users without trajectories"] = len(labels.keys() - trajectories.keys())
    return labels, trajectories, skipped


class _Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def __enter__(self) -> "_Folder":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def names(self) -> list[str]:
        # The root itself may be a user's folder's parent: its name belongs to no path below it.
        return [path.relative_to(self.root).as_posix() for path in self._files()]

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def _files(self) -> Iterator[Path]:
        yield from self.root.rglob("labels.txt")
        yield from self.root.rglob("*.plt")


class _Zip:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = zipfile.ZipFile(path)

    def __enter__(self) -> "_Zip":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def names(self) -> list[str]:
        unpacked, packed = sum(info.file_size for info in self.file.infolist()), self.path.stat().st_size
        if unpacked > most_bytes(packed):
            msg = (
                f"{self.path} unpacks to {unpacked:,} bytes, {limit_text(packed)}: if that is right, unpack it by "
                "another program and give the folder"
            )
            raise DataError(msg)
        return self.file.namelist()

    def read(self, name: str) -> bytes:
        try:
            return self.file.read(name)
        except RuntimeError as error:  # a password, or a method of compression that Python does not know
            msg = f"{self.path}: {name} cannot be unpacked ({error}); unpack it by another program and give the folder"
            raise DataError(msg) from error
        except _DAMAGES as error:
            msg = f"{self.path}: {name} is damaged ({str(error) or 'it ends early'}); copy or download the file again"
            raise DataError(msg) from error


def _opened(source: Path) -> _Folder | _Zip:
    if source.is_dir():
        return _Folder(source)
    if not source.is_file():
        msg = f"no file or folder {source}"
        raise DataError(msg)
    try:
        return _Zip(source)
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
        msg = f"{source} is no complete zip file ({error}); expected the publisher's zip or the folder in it"
        raise DataError(msg) from error


def _writer(path: Path, *, compressed: bool) -> io.TextIOBase:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # of a process that was killed, or a link that somebody laid
    if not compressed:
        return cast(io.TextIOBase, open_unlinked(path, "x", newline=""))
    open_unlinked(path, "xb").close()
    return io.TextIOWrapper(gzip.GzipFile(path, "wb", compresslevel=6, mtime=0), encoding="utf-8", newline="")


def _told(skipped: Counter[str]) -> str:
    return "; ".join(f"skipped {count:,} {reason}" for reason, count in skipped.items() if count) or "all are empty"
