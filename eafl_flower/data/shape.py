"""What a server must know of data that it does not have: columns, classes and scaler, formed from clients' reports.

Each client reports the names of its columns and classes and, for each column, counts of its training values in bins
(``data.row_summary``). The sum of these is all that the scaler is made from, and the classes are the sorted union of
the clients' own. The shape is sent to every client once, so that all scale by the same numbers, those that come later
as well.

A report is small, not private: it tells which classes a client has, and how its values are distributed, column by
column; a rare value stands in a bin of its own.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from eafl_flower.aggregation.example_counts import largest_believed
from eafl_flower.core.excerpt import excerpt, excerpts
from eafl_flower.data.row_summary import MANTISSA_BITS, MAX_BINS, ColumnSummary, RowSummary, quantile_table, total
from eafl_flower.data.scaling import Scaler
from eafl_flower.data.tables.names import plain_name
from eafl_flower.errors import DataError, ProtocolError
from eafl_flower.heads.prior import TAIL, FeatureRanges

MOST_COLUMNS: Final = 10_000
MOST_CLASSES: Final = 1_000
MOST_LETTERS: Final = 200  # of a name
MOST_ROWS: Final = 2**40  # that a client is taken to have
NUMBERS, TEXTS = "numbers", "texts"


@dataclass(frozen=True, kw_only=True, eq=False)
class RowsReport:
    """What one client tells of its rows: names of columns and classes, how labels are written, and a summary."""

    columns: tuple[str, ...]
    classes: tuple[str, ...]
    labels: str  # NUMBERS or TEXTS
    summary: RowSummary

    @classmethod
    def of(cls, columns: tuple[str, ...], classes: tuple[str, ...], summary: RowSummary) -> Self:
        """Return the report of rows with these columns and classes."""
        return cls(columns=columns, classes=classes, labels=kind_of_labels(classes), summary=summary)

    def to_fields(self) -> dict[str, Any]:
        """Return the report as numbers, bytes and lists of texts, as a record of Flower's holds them."""
        columns = self.summary.columns
        return {
            "columns": list(self.columns),
            "classes": list(self.classes),
            "dropped": [column.dropped for column in columns],
            "sizes": [len(column.bins) for column in columns],
            "bins": b"".join(c.bins.astype("<i8").tobytes() for c in columns),
            "counts": b"".join(c.counts.astype("<i8").tobytes() for c in columns),
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], whose: str) -> Self:
        """Return the report in the fields of a record.

        Raises
        ------
        ProtocolError
            If they hold none, or one beyond all bounds: a node may say anything.
        """
        try:
            columns, classes = _names(fields["columns"], MOST_COLUMNS), _names(fields["classes"], MOST_CLASSES)
            bins, counts = (np.frombuffer(fields[name], "<i8").astype(np.int64) for name in ("bins", "counts"))
            dropped, sizes = list(fields["dropped"]), list(fields["sizes"])
            if not (len(columns) == len(dropped) == len(sizes) and sum(sizes) == len(bins) == len(counts)):
                raise ValueError("lists of different lengths")
            if any(not 0 <= size <= MAX_BINS for size in sizes) or (counts < 1).any() or (counts > MOST_ROWS).any():
                raise ValueError("counts out of range")
            ends = np.cumsum([0, *sizes])
            parts = zip(dropped, ends[:-1], ends[1:], strict=True)
            summary = RowSummary(columns=tuple(_column(d, bins[a:b], counts[a:b]) for d, a, b in parts))
            if len({column.num_rows for column in summary.columns}) > 1:
                raise ValueError("columns of different lengths")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            msg = f"{whose} tells of its rows what cannot be ({excerpt(str(error))})"
            raise ProtocolError(f"{msg}: server and node need the same eafl-flower") from error
        return cls.of(columns, classes, summary)

    @property
    def num_rows(self) -> int:
        """Number of training rows summed up."""
        return self.summary.columns[0].num_rows if self.summary.columns else 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """Columns, classes and scaling of data, and how many clients have them; the first ``num_seen`` train.

    ``ranges`` and ``quantiles`` are those of the scaled features.
    """

    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    scaler: Scaler
    ranges: FeatureRanges
    quantiles: NDArray[np.float64]
    num_clients: int
    num_seen: int

    @classmethod
    def of(cls, reports: Mapping[int, RowsReport], *, num_clients: int, num_seen: int) -> tuple[Self, dict[int, str]]:
        """Return the shape of what clients report, and why some of them are left out of it.

        The columns, and whether labels are numbers, are those that most of the clients that train report, of two as
        frequent those of the client with the lower number. A client counts for at most a hundred of median size.

        Parameters
        ----------
        reports
            What each client tells.
        num_clients, num_seen
            Number of clients, and of those that train.

        Raises
        ------
        DataError
            If none of those that train tells anything, or there is but one class.
        """
        training = {client: reports[client] for client in sorted(reports) if client < num_seen}
        if not training:
            raise DataError("no client that trains has told of its rows: start nodes that have a rows-file")
        votes = Counter((report.columns, report.labels) for report in training.values())
        columns, labels = max(votes, key=lambda key: votes[key])  # of equal ones the first: dicts keep the order
        model = next(c for c, r in training.items() if (r.columns, r.labels) == (columns, labels))
        left_out = {
            client: f"client {client} {why}, unlike client {model}"
            for client, report in reports.items()
            if (why := _disagreement(report, columns, labels))
        }
        agreeing = {client: report for client, report in training.items() if client not in left_out}
        most = largest_believed([report.num_rows for report in agreeing.values()])
        summary = total([_thinned(report.summary, most / max(1, report.num_rows)) for report in agreeing.values()])
        scaler = Scaler.of(summary)
        classes = _union([report.classes for report in agreeing.values()])
        if len(classes) < 2:
            raise DataError(f"all clients have the one class {excerpts(classes)}: expected at least two")
        shape = cls(
            feature_names=columns,
            class_names=classes,
            scaler=scaler,
            ranges=_ranges(summary, scaler),
            quantiles=scaler.apply(summary.quantiles()).astype(np.float64),
            num_clients=num_clients,
            num_seen=num_seen,
        )
        return shape, left_out

    def disagreement(self, report: RowsReport) -> str:
        """Return what of a client's rows does not fit, in words; "" if they fit."""
        return _disagreement(report, self.feature_names, kind_of_labels(self.class_names))

    def to_json(self) -> str:
        """Return the shape as JSON, numbers exactly."""
        return json.dumps(
            {
                "features": self.feature_names,
                "classes": self.class_names,
                "mean": self.scaler.mean.tolist(),
                "scale": self.scaler.scale.tolist(),
                "limit": self.scaler.limit,
                "low": self.ranges.low.tolist(),
                "high": self.ranges.high.tolist(),
                "quantiles": self.quantiles.tolist(),
                "clients": self.num_clients,
                "clients that train": self.num_seen,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the shape in a text that ``to_json`` has made.

        Raises
        ------
        ProtocolError
            If it is none.
        """
        try:
            told = json.loads(text)
            features, classes = _names(told["features"], MOST_COLUMNS), _names(told["classes"], MOST_CLASSES)
            mean, scale, low, high = (np.array(told[name], np.float64) for name in ("mean", "scale", "low", "high"))
            if any(a.shape != (len(features),) or not np.isfinite(a).all() for a in (mean, scale, low, high)):
                raise ValueError("numbers that do not fit the features")
            return cls(
                feature_names=features,
                class_names=classes,
                scaler=Scaler(mean=mean, scale=scale, limit=float(told["limit"])),
                ranges=FeatureRanges(low, high),
                quantiles=quantile_table(told["quantiles"], len(features)),
                num_clients=int(told["clients"]),
                num_seen=int(told["clients that train"]),
            )
        except (KeyError, OverflowError, TypeError, ValueError, RecursionError) as error:
            msg = f"a shape of data cannot be read ({excerpt(str(error))}): server and node need the same eafl-flower"
            raise ProtocolError(msg) from error


def kind_of_labels(classes: tuple[str, ...]) -> str:
    """Return whether all of these names are written as numbers, ``NUMBERS``, or not, ``TEXTS``."""
    return NUMBERS if classes and all(_is_number(name) for name in classes) else TEXTS


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _names(values: Any, most: int) -> tuple[str, ...]:
    names = tuple(values) if isinstance(values, list | tuple) else ()
    if not (
        0 < len(names) <= most
        and all(isinstance(n, str) and 0 < len(n) <= MOST_LETTERS for n in names)
        and len(set(names)) == len(names)
    ):
        raise ValueError(f"names {excerpt(values)}: expected 1 to {most} different texts")
    return names


def _column(dropped: Any, bins: Any, counts: Any) -> ColumnSummary:
    if type(dropped) is not int or not 0 <= dropped <= MANTISSA_BITS + 10 or (bins[1:] <= bins[:-1]).any():
        raise ValueError("bins that do not ascend")
    column = ColumnSummary(dropped=dropped, bins=bins, counts=counts)
    with np.errstate(over="ignore"):
        if (np.abs(bins) > (np.iinfo(np.int64).max >> dropped)).any() or not np.isfinite(column.values).all():
            raise ValueError("bins of no finite number")
    return column


def _disagreement(report: RowsReport, columns: tuple[str, ...], labels: str) -> str:
    if report.columns != columns:
        return f"has columns {excerpts(report.columns)}, expected {excerpts(columns)}"
    return f"has labels that are {report.labels}, expected {labels}" if report.labels != labels else ""


def _union(classes: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return all names in order, each in the spelling that most clients use."""
    spellings: dict[str, Counter[str]] = {}
    for names in classes:
        for name in names:
            spellings.setdefault(plain_name(name), Counter())[name] += 1
    return tuple(sorted(min(counts, key=lambda name: (-counts[name], name)) for counts in spellings.values()))


def _thinned(summary: RowSummary, share: float) -> RowSummary:
    """Return a summary of fewer rows of the same distribution, if ``share`` is below 1."""
    if share >= 1:
        return summary
    return RowSummary(
        columns=tuple(
            ColumnSummary(dropped=c.dropped, bins=c.bins, counts=np.maximum(1, (c.counts * share).astype(np.int64)))
            for c in summary.columns
        )
    )


def _ranges(summary: RowSummary, scaler: Scaler) -> FeatureRanges:
    """Return the scaled 0.5 % and 99.5 % quantiles of all rows, to within the summary's error."""
    ends = [
        [column.ranked(min(int(share * n), n - 1)) if (n := column.num_rows) else 0.0 for share in (TAIL, 1 - TAIL)]
        for column in summary.columns
    ]
    low, high = scaler.apply(np.array(ends).T).astype(np.float64)
    return FeatureRanges(low, high)
