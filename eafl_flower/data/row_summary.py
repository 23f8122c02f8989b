r"""What a scaler needs to know of each client's rows: counts of values in bins, of bounded size, that add up.

Bins are fixed by the format of floating-point numbers: with :math:`k` binary digits kept behind the first one, all
values that agree in sign, exponent and these digits share a bin. Bins of fewer digits are unions of those of more, so a
summary keeps the most digits for which no more than ``MAX_BINS`` bins are occupied, and

* the sum of summaries is the summary of all their rows, bit for bit, in whatever order it is formed;
* a bin's value is the number in it that is nearest to 0: for each value, and so for each quantile,
  :math:`0 \le |x| - |\hat x| < 2^{-k} |x|`, with the same sign; values of at most :math:`k + 1` binary digits are
  exact;
* a column of no more than ``MAX_BINS`` different values is kept exactly (:math:`k = 52`), and few values far away
  cost nothing but their own bins.

A normal distribution keeps 6 digits or more (1.6 %), and so does one that is even over 30 powers of 2. The error is not
bounded so for numbers below 1e-307, nor if :math:`k < 0`: where values lie in more than 2,000 powers of 2, bins unite
powers of 2. A summary holds values of the rows, without telling which belong together: it is small, not private.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import DataError
from eafl_flower.types import Array

MAX_BINS = 2048
MANTISSA_BITS = 52
SHARES = 32  # of rows, between the quantiles of a table


@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnSummary:
    """Counts of a column's values: ``counts[i]`` of them lie in bin ``bins[i]``; bins ascend, ``(b,)`` each.

    A bin is the number's bits, as an integer with the number's sign, without the last ``dropped`` ones.
    """

    dropped: int
    bins: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, column: Array) -> "ColumnSummary":
        """Return the summary of a column ``(n,)`` of finite numbers."""
        bits = (np.asarray(column, np.float64) + 0.0).view(np.int64)  # + 0.0: there is one zero
        # Bits of negative numbers ascend with the magnitude; the sign is the highest.
        signed = np.where(bits < 0, -(bits & np.iinfo(np.int64).max), bits)
        bins, counts = np.unique(signed, return_counts=True)
        return _coarsened(0, bins, counts.astype(np.int64))

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The number of each bin that is nearest to 0, ascending, ``(b,)``."""
        return np.copysign((np.abs(self.bins) << self.dropped).view(np.float64), self.bins)

    @property
    def num_rows(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def relative_error(self) -> float:
        """The most by which a value of the column differs from its bin's, as a share of it; below 1."""
        return 0.0 if self.dropped == 0 else min(2.0 ** (self.dropped - MANTISSA_BITS), 1.0)

    def ranked(self, rank: int) -> float:
        """Return the value with ``rank`` others before it in ascending order, to within ``relative_error``."""
        return float(self.values[np.searchsorted(np.cumsum(self.counts), rank, side="right")])


@dataclass(frozen=True, kw_only=True, eq=False)
class RowSummary:
    """Summaries of the columns of a client's training rows; ``+`` joins those of two clients."""

    columns: tuple[ColumnSummary, ...]

    @classmethod
    def of(cls, rows: Array) -> "RowSummary":
        """Return the summary of rows ``(n, d)``.

        Raises
        ------
        DataError
            If a number is not finite.
        """
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            msg = f"row {row}, feature {column}: expected a finite number, found {rows[row, column]}"
            raise DataError(msg)
        return cls(columns=tuple(ColumnSummary.of(column) for column in rows.T))

    def quantiles(self) -> NDArray[np.float64]:
        """Return the least value of each column, those with 1/32, 2/32, ... of the rows before them, and the largest.

        A table ``(33, d)`` that ascends, to within the summary's error; 0 where there are no rows.
        """
        table = [
            [
                column.ranked(min(share * n // SHARES, n - 1)) if (n := column.num_rows) else 0.0
                for column in self.columns
            ]
            for share in range(SHARES + 1)
        ]
        return np.array(table, np.float64)

    def __add__(self, other: "RowSummary") -> "RowSummary":
        """Return the summary of the rows of both."""
        return total([self, other])


def total(summaries: Sequence[RowSummary]) -> RowSummary:
    """Return the sum of at least one summary, the same in every order.

    Raises
    ------
    DataError
        If they are not of equally many columns.
    """
    if len(widths := {len(summary.columns) for summary in summaries}) != 1:
        msg = f"summaries of {', '.join(map(str, sorted(widths))) or 'no'} columns: expected one number for all clients"
        raise DataError(msg)
    return RowSummary(columns=tuple(map(_joined, zip(*(summary.columns for summary in summaries), strict=True))))


def quantile_table(values: Any, num_features: int) -> NDArray[np.float64]:
    """Return ``values`` as a table of quantiles ``(33, num_features)``.

    Raises
    ------
    ValueError
        If they are none: of another shape, not finite, or not ascending for each feature.
    """
    try:
        table = np.array(values, np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        msg = "quantiles that are no table of numbers"
        raise ValueError(msg) from error
    if table.shape != (expected := (SHARES + 1, num_features)):
        msg = f"quantiles of shape {table.shape}, expected {expected}"
        raise ValueError(msg)
    if not np.isfinite(table).all() or (np.diff(table, axis=0) < 0).any():
        msg = "quantiles that are not finite or do not ascend"
        raise ValueError(msg)
    return table


def _joined(columns: Sequence[ColumnSummary]) -> ColumnSummary:
    dropped = max(column.dropped for column in columns)
    bins = np.concatenate([_shortened(column.bins, dropped - column.dropped) for column in columns])
    counts = np.concatenate([column.counts for column in columns])
    order = np.argsort(bins, kind="stable")
    return _coarsened(dropped, bins[order], counts[order])


def _shortened(bins: NDArray[np.int64], digits: int) -> NDArray[np.int64]:
    shorter: NDArray[np.int64] = np.sign(bins) * (np.abs(bins) >> digits)
    return shorter


def _coarsened(dropped: int, bins: NDArray[np.int64], counts: NDArray[np.int64]) -> ColumnSummary:
    """Drop as few digits as leave ``MAX_BINS`` of the ascending ``bins`` or fewer, and count equal ones together."""
    fewer = 0
    while np.count_nonzero(np.diff(shorter := _shortened(bins, fewer))) >= MAX_BINS:
        fewer += 1
    starts = np.flatnonzero(np.diff(shorter, prepend=shorter[:1] - 1))
    return ColumnSummary(
        dropped=dropped + fewer,
        bins=shorter[starts],
        counts=np.add.reduceat(counts, starts) if len(starts) else counts,
    )
