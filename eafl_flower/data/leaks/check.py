"""What is in a data file, and which of its columns would give the label away.

For every column as it is written in the file: how often a table of the commonest class per value (or per 30-quantile
bin), fitted on training rows, names the class of held out rows. A row number, a clock or a spelling that scores
far above the majority class is a leak: a model trained on it learns how the file was made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eafl_flower.core import rng as randomness
from eafl_flower.data.leaks.known_tables import KNOWN, KnownTable
from eafl_flower.data.leaks.report import ColumnScore, DataReport
from eafl_flower.data.leaks.spelling import plain_words, spelled_parts
from eafl_flower.data.leaks.values import what_values_tell
from eafl_flower.data.lookup import Lookup
from eafl_flower.data.sets import car_following, geolife, ngsim, unsw_nb15
from eafl_flower.data.sets.own_csv import load_csv
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import content_groups, last_share_of_runs, shuffled_groups
from eafl_flower.data.tables.columns import Columns, candidates
from eafl_flower.data.tables.files import read_header, read_text
from eafl_flower.data.tables.times import sortable_times
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.types import Array

TEST_SHARE = 0.25
# Above chance by this much counts as telling something.
NOTICEABLE = 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class _Labelled:
    """Raw columns of the labelled rows with their classes, clients and split."""

    name: str
    label: str
    rows: int
    num_columns: int
    columns: dict[str, Array]
    classes: tuple[str, ...]
    y: NDArray[np.int64]
    client: Array | None
    test: NDArray[np.bool_]
    train: NDArray[np.bool_]
    split: str
    notes: tuple[str, ...] = ()


def check_file(path: str | Path) -> DataReport:
    """Recognise a data file by its header and report what is in it.

    Raises
    ------
    DataError
        If the file cannot be read or its header is none we know.
    """
    path = Path(path)
    header = read_header(path)
    if ngsim.is_ngsim(header):
        return _with_notes(_report(path, _label_ngsim(path)), path)
    for known in KNOWN:
        if known.columns <= set(header):
            return _with_notes(_report(path, _label_table(path, known)), path)
    names = ", ".join(["ngsim", *(known.name for known in KNOWN)])
    found = ", ".join(header[:12])
    msg = (
        f"{path}: its columns are none of a table we know ({names}): {found}; "
        f"one of your own is checked by --csv {path} --label COLUMN"
    )
    raise DataError(msg)


def check_csv(path: str | Path, columns: Columns) -> DataReport:
    """Report what is in a file of one's own, whose columns are named.

    Raises
    ------
    DataError
        If the file cannot be read, or a column is missing; what else a run would refuse is in the report.
    """
    path = Path(path)
    candidates(path, columns)
    known = KnownTable(
        name="csv",
        columns=frozenset(),
        label=columns.label,
        client=columns.client,
        time=columns.time,
        split="time" if columns.time else "content",
    )
    report = _report(path, _label_table(path, known))
    try:
        source = load_csv(
            path, label=columns.label, client=columns.client, time=columns.time, features=columns.features
        )
    except (DataError, ConfigError) as error:
        return replace(report, refusal=str(error))
    features = f"features of a run: {', '.join(column.name for column in source.columns)}"
    clients = (f"clients of a run: {source.num_clients}",) if columns.client else ()
    return replace(report, notes=(features, *source.notes, *clients))


def _with_notes(report: DataReport, path: Path) -> DataReport:
    """Add what the loader of a table we know says of it, if it has one for a single file."""
    loaders: dict[str, Callable[..., InMemorySource]] = {
        "ngsim": ngsim.load_ngsim_us101,
        "geolife": geolife.load_geolife,
        "unsw-nb15": unsw_nb15.load_unsw_nb15,
    }
    if not (loader := loaders.get(report.name)):
        return report
    try:
        return replace(report, notes=(*report.notes, *loader(data_dir=path).notes))
    except DataError as error:
        return replace(report, refusal=str(error))
    except ConfigError:  # too small for the usual number of clients, which a run may change
        return report


def _label_ngsim(path: Path) -> _Labelled:
    raw = read_text(path)
    rows, labels, vehicles, test, train = [], [], [], [], []
    for number, track in enumerate(ngsim.read_tracks(path).tracks):
        frames = car_following.row_frames(len(track.speed_m_s))
        first_test = len(frames) - int(len(frames) * ngsim.TEST_SHARE)
        place = np.arange(len(frames))
        rows.append(track.rows[frames])
        labels.append(car_following.labels(track.speed_m_s, frames))
        vehicles.append(np.full(len(frames), number))
        test.append(place >= first_test)
        train.append(place < first_test - car_following.GAP_FRAMES // car_following.FRAMES_PER_S)
    chosen = np.concatenate(rows)
    return _Labelled(
        name="ngsim",
        label="speed change 2 to 3 s ahead (made here, one row a second)",
        rows=len(raw),
        num_columns=raw.shape[1],
        columns={str(name): _as_numbers(raw[name].to_numpy(dtype=object)[chosen]) for name in raw.columns},
        classes=car_following.CLASS_NAMES,
        y=np.concatenate(labels),
        client=np.concatenate(vehicles),
        test=np.concatenate(test),
        train=np.concatenate(train),
        split="the last quarter of each vehicle, 6 s left out before it",
    )


def _label_table(path: Path, known: KnownTable) -> _Labelled:
    raw = read_text(path)
    if len(raw) == 0:
        msg = f"{path} has a header but no rows"
        raise DataError(msg)
    columns = {str(name): _as_numbers(raw[name].to_numpy(dtype=object)) for name in raw.columns}
    del columns[known.label]
    if not columns:
        msg = f"{path} has no column beside {known.label}, the label"
        raise DataError(msg)
    label = raw[known.label].str.strip().to_numpy(dtype=object).astype(str)
    classes, y = np.unique(label, return_inverse=True)
    if known.split == "runs":
        test = last_share_of_runs(y, share=TEST_SHARE)
        split = f"the last quarter of each run of equal {known.label}"
    elif known.split == "trips":
        test = _quarter_of_groups(content_groups([columns[known.client], columns["segment"]]))
        split = "a quarter of the segments"
    elif known.split == "time":
        time = sortable_times(raw[known.time].to_numpy(dtype=object), path=path, column=known.time)
        test = _last_quarter_in_time(time, columns[known.client] if known.client else np.zeros(len(y)))
        split = f"the last quarter by {known.time}" + (f" of each {known.client}" if known.client else "")
    else:
        test = _quarter_of_groups(_content(columns))
        split = "a quarter of the distinct rows"
    return _Labelled(
        name=known.name,
        label=known.label,
        rows=len(raw),
        num_columns=raw.shape[1],
        columns=columns,
        classes=tuple(str(name) for name in classes),
        y=y.astype(np.int64),
        client=columns[known.client] if known.client else None,
        test=test,
        train=~test,
        split=split,
        notes=_values_notes(columns, y, test, known, split) if known.no_features else (),
    )


def _values_notes(
    columns: dict[str, Array], y: NDArray[np.int64], test: NDArray[np.bool_], known: KnownTable, split: str
) -> tuple[str, ...]:
    by_row = _quarter_of_groups(np.arange(len(y)))
    values = {name: column for name, column in columns.items() if name not in known.no_features}
    return what_values_tell(values, y, test=test, by_row=by_row, held_out=split, left_out=known.no_features).lines()


def _report(path: Path, data: _Labelled) -> DataReport:
    train, test = data.train, data.test
    if not (train.any() and test.any()):
        msg = (
            f"{path}: {data.rows:,} rows with {data.split} held out leave none to compare; expected more different rows"
        )
        raise DataError(msg)
    counts = np.bincount(data.y, minlength=len(data.classes))
    majority = float((data.y[test] == np.bincount(data.y[train]).argmax()).mean())
    content = _content(data.columns)
    scores = [_column_score(name, column, data, majority) for name, column in data.columns.items()]
    scores += [
        ColumnScore(column=part.name, score=score, warning=part.warning)
        for part in spelled_parts(data.columns)
        if (score := _score(part.values, data)) > majority + NOTICEABLE
    ]
    sizes = None if data.client is None else np.unique(data.client, return_counts=True)[1]
    by_row = _quarter_of_groups(np.arange(len(data.y)))
    return DataReport(
        path=str(path),
        name=data.name,
        rows=data.rows,
        num_columns=data.num_columns,
        label=data.label,
        split=data.split,
        classes=tuple((name, int(count)) for name, count in zip(data.classes, counts, strict=True)),
        client_rows=None if sizes is None else (int(sizes.min()), float(np.median(sizes)), int(sizes.max())),
        num_clients=None if sizes is None else len(sizes),
        majority=majority,
        columns=tuple(sorted(scores, key=lambda c: -c.score)),
        repeated_rows=len(content) - len(np.unique(content)),
        test_rows=int(test.sum()),
        copies_by_row=float(np.isin(content[by_row], content[~by_row]).mean()),
        copies=int(np.isin(content[test], content[train]).sum()),
        notes=data.notes,
    )


def _score(values: Array, data: _Labelled) -> float:
    return Lookup.fit(values[data.train], data.y[data.train]).accuracy(values[data.test], data.y[data.test])


def _column_score(name: str, column: Array, data: _Labelled, majority: float) -> ColumnScore:
    value = _score(column, data)
    rules: Sequence[tuple[Callable[[], bool], str]] = (
        (lambda: _is_function_of(column, data.y), "is the label in another form"),
        (
            lambda: value > majority + NOTICEABLE and _numbers_rows(column),
            "numbers the rows, and the order of the rows tells the class",
        ),
        (
            lambda: value > majority + NOTICEABLE and _spelling_tells(column, value, data),
            "differs in spelling from class to class",
        ),
        (lambda: value > (1 + majority) / 2, "tells most classes by itself"),
    )
    return ColumnScore(column=name, score=value, warning=next((text for rule, text in rules if rule()), ""))


def _as_numbers(column: Array) -> Array:
    """Turn a column into float64 if every cell is a number (empty cells count as 0), else leave strings as they are."""
    text = pd.Series(column, dtype="str")
    numbers = pd.to_numeric(text.where(text != "", "0"), errors="coerce")
    if numbers.isna().any():
        return text.to_numpy(dtype=object).astype(str)
    return numbers.to_numpy(dtype=np.float64)


def _numbers_rows(column: Array) -> bool:
    return column.dtype.kind == "f" and len(column) > 1 and bool((np.diff(column) > 0).all())


def _content(columns: dict[str, Array]) -> NDArray[np.int64]:
    """Return equal numbers for equal rows, ``(n,)``; where in the file they stand makes no difference."""
    others = [column for column in columns.values() if not _numbers_rows(column)]
    return content_groups(others or list(columns.values()))


def _is_function_of(column: Array, y: NDArray[np.int64]) -> bool:
    values = content_groups([column])
    pairs = len(np.unique(values * (int(y.max()) + 1) + y))
    return int(values.max()) > 0 and pairs == len(np.unique(y))


def _spelling_tells(column: Array, value: float, data: _Labelled) -> bool:
    return column.dtype.kind != "f" and value > _score(plain_words(column), data) + NOTICEABLE


def _quarter_of_groups(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    order = shuffled_groups(groups, randomness.generator(0, "data", "check"))
    test = np.zeros(len(groups), dtype=np.bool_)
    last = groups[order[: int(len(groups) * TEST_SHARE)]]
    test[np.isin(groups, last)] = True
    return test


def _last_quarter_in_time(time: NDArray[np.float64], client: Array) -> NDArray[np.bool_]:
    code = np.unique(client, return_inverse=True)[1]
    order = np.lexsort((time, code))
    test = np.zeros(len(time), dtype=np.bool_)
    test[order] = last_share_of_runs(code[order], share=TEST_SHARE)
    return test
