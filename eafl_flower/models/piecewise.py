r"""Numeric features in bins: beside each feature a few numbers that rise one after the other along its values.

.. math::
    \psi_t(x) = \mathrm{clip}\Bigl(\frac{x - b_{t-1}}{b_t - b_{t-1}},\ l_t,\ h_t\Bigr), \qquad
    l_t = \begin{cases} -4 & t = 1 \\ 0 & t > 1 \end{cases}, \qquad
    h_t = \begin{cases} 4 & t = m \\ 1 & t < m \end{cases}

:math:`b_0 < \dots < b_m` are those of the feature's quantiles in T equal shares of rows that differ, so that
:math:`m \le T`. What is linear in :math:`x, \psi_1(x), \dots, \psi_m(x)` bends at each of them, so that a first layer
can treat low, usual and high values differently; between the outermost edges :math:`x = b_0 + \sum_t (b_t - b_{t-1})
\psi_t(x)`. Beyond them the first and the last output go on, up to four widths of their bin.

References
----------
Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS 2022, section
3.2; there without the feature itself, and with no limit beyond the outermost edges.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eafl_flower.types import Array

BEYOND = 4.0  # widths of the outermost bins
FEWEST_EDGES = 3  # fewer bend nothing: flags, and what is constant


class Outputs(NamedTuple):
    """What each output is made of, ``(outputs,)`` each: its feature, where its bin starts, its width, its limits."""

    feature: NDArray[np.int64]
    start: NDArray[np.float64]
    width: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PiecewiseLinear:
    """Each feature in turn: itself and, if at least three of its edges differ, one output for each bin between these.

    Parameters
    ----------
    quantiles
        Table ``(k T + 1, d)`` of finite numbers, ascending for each of the d features: its quantiles in equal shares.
    num_bins
        T: every k-th row of the table is an edge.

    Raises
    ------
    ValueError
        If the table is none, or cannot be divided into so many bins.

    Examples
    --------
    >>> encoding = PiecewiseLinear(np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 1.0]]), 2)
    >>> encoding.apply(np.array([[1.0, 1.0], [3.0, 0.0]])).tolist()
    [[1.0, 0.5, 0.0, 1.0], [3.0, 1.0, 0.5, 0.0]]
    """

    quantiles: NDArray[np.float64]
    num_bins: int

    def __post_init__(self) -> None:
        table = self.quantiles
        if table.ndim != 2 or not np.isfinite(table).all() or (np.diff(table, axis=0) < 0).any():
            msg = f"a table of quantiles of shape {table.shape}: expected two dimensions, finite numbers that ascend"
            raise ValueError(msg)
        if self.num_bins < 1 or len(table) < 2 or (len(table) - 1) % self.num_bins:
            msg = f"{len(table)} quantiles of each feature cannot be the edges of {self.num_bins} bins"
            raise ValueError(msg)

    @property
    def num_outputs(self) -> int:
        """Numbers that a row becomes."""
        return len(self._outputs.feature)

    def apply(self, rows: Array) -> NDArray[np.float32]:
        """Return rows ``(n, d)`` as ``(n, num_outputs)``, float32."""
        of = self._outputs
        return np.clip((rows[:, of.feature] - of.start) / of.width, of.low, of.high).astype(np.float32)

    @cached_property
    def _outputs(self) -> Outputs:
        edges = np.asarray(self.quantiles[:: (len(self.quantiles) - 1) // self.num_bins], np.float64)
        wide = np.diff(edges, axis=0) > 0
        wide &= wide.sum(axis=0) >= FEWEST_EDGES - 1
        itself = np.ones((1, wide.shape[1]), bool)
        feature, place = np.nonzero(np.concatenate([itself, wide]).T)  # feature by feature; place 0 is the feature
        is_bin, before = place > 0, np.maximum(place - 1, 0)
        is_first = before == wide.argmax(axis=0)[feature]
        is_last = before == self.num_bins - 1 - wide[::-1].argmax(axis=0)[feature]
        start, end = edges[before, feature], edges[place, feature]
        return Outputs(
            feature=feature,
            start=np.where(is_bin, start, 0.0),
            width=np.where(is_bin, end - start, 1.0),
            low=np.where(is_bin, np.where(is_first, -BEYOND, 0.0), -np.inf),
            high=np.where(is_bin, np.where(is_last, BEYOND, 1.0), np.inf),
        )
