r"""Standard scores whose centre and spread come from training rows of training clients only, and survive outliers.

Of :math:`n` values :math:`x` of a column, :math:`r = \lfloor n / 16 \rfloor` may be anything. Let :math:`a` and
:math:`b` be the values that have :math:`r` others below and above them, :math:`w = b - a` their distance. Mean
:math:`\mu` and standard deviation :math:`\sigma` are those of the values cut to :math:`[a - w/2,\ b + w/2]`:

* a value beyond counts as the end of that interval, however far it is;
* :math:`w \sqrt{r' / 2n} \le \sigma \le w` with :math:`r' = r + 1`: scaled, :math:`a` and :math:`b` are between 1 and
  :math:`\sqrt{2n / r'} < 5.7` apart;
* if any :math:`m \le r` of the values are replaced, :math:`a` and :math:`b` stay within the others, at most :math:`m`
  ranks from where they were among those. So :math:`n / 16` outliers cannot erase what the others say. In a normally
  distributed column 1 % of outliers on one side move scaled values within :math:`\pm 3` by less than 0.25, 5 % by
  less than 1;
* of a normal distribution :math:`\sigma` is the standard deviation to within 1 %, and so are :math:`\mu` and
  :math:`\sigma` mean and deviation, exactly, of a column of zeros and ones.

Where :math:`a = b`, because nearly all values are one, :math:`r` is halved until they differ: a flag that stands in one
of 300 rows has :math:`r \le n / 300`, and fewer outliers are borne. A constant column has no spread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.row_summary import ColumnSummary, RowSummary, total
from eafl_flower.data.splits import Part
from eafl_flower.types import Array, Rows

OUTLIERS = 1 / 16
# Two values that differ by less, as a share of them, differ by rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaler:
    r"""Column-wise :math:`z = (x - \mu) / \sigma`, cut to :math:`\pm` ``limit``; 0 where :math:`\sigma` is 0.

    The cut keeps a value that no training row came near (a flag seen once in a thousand rows, a
    transfer a thousand times longer) from deciding a small network's output alone.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    limit: float = 8.0

    @classmethod
    def of(cls, summary: RowSummary) -> Self:
        """Return the scaler of the rows that a summary is of; a constant column gets the scale 0."""
        mean, scale = np.array([_centre_and_spread(column) for column in summary.columns]).reshape(-1, 2).T
        return cls(mean=mean, scale=scale)

    @classmethod
    def fit(cls, rows: Array) -> Self:
        """Return the scaler of rows ``(n, d)``, as ``of`` their summary."""
        return cls.of(RowSummary.of(rows))

    def scores(self, rows: Array) -> NDArray[np.float64]:
        """Return scaled rows ``(n, d)`` before they are cut; what was constant in training is 0."""
        varies = self.scale > 0
        with np.errstate(over="ignore"):
            scores = (rows - self.mean) / np.where(varies, self.scale, 1.0)
        # What was constant in training would reach weights that never learnt to deal with it.
        return np.where(varies, scores, 0.0)

    def apply(self, rows: Array) -> NDArray[np.float32]:
        """Return scaled rows ``(n, d)`` as float32."""
        return np.clip(self.scores(rows), -self.limit, self.limit).astype(np.float32)


def _centre_and_spread(column: ColumnSummary) -> tuple[float, float]:
    if not (n := column.num_rows):
        return 0.0, 0.0
    rank = int(n * OUTLIERS)
    while (low := column.ranked(rank)) == (high := column.ranked(n - 1 - rank)) and rank:
        rank //= 2
    width = high - low
    if width <= _ROUNDING * max(abs(low), abs(high)):
        return low, 0.0
    # In units of the width: the squares of very large and very small numbers are none.
    cut = (np.clip(column.values, low - width / 2, high + width / 2) - low) / width
    share = column.counts / n
    centre = float(cut @ share)
    return low + width * centre, width * float(np.sqrt((cut - centre) ** 2 @ share))


def scaled_rows(parts: Sequence[Part], num_seen: int) -> tuple[tuple[Rows, ...], Scaler]:
    """Scale every client's rows by one ``Scaler``, of the training rows of the first ``num_seen``.

    Each of these sums up its rows; the sum of the summaries is all that the scaler is made from.

    Returns
    -------
    tuple
        The rows and the scaler: whoever uses the model later must scale as it did.
    """
    scaler = Scaler.of(total([RowSummary.of(part.x_train) for part in parts[:num_seen]]))
    rows = tuple(
        Rows(
            x_train=scaler.apply(part.x_train),
            y_train=part.y_train.astype(np.int64),
            x_test=scaler.apply(part.x_test),
            y_test=part.y_test.astype(np.int64),
        )
        for part in parts
    )
    return rows, scaler
