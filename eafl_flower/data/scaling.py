"""Standard scores whose mean and spread come from training rows of training clients only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.partition import Part
from eafl_flower.types import Array, Rows


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
    def fit(cls, rows: Array) -> Self:
        """Fit on rows ``(n, d)``; a constant column gets the scale 0, for nothing can be learnt from it."""
        spread = rows.std(axis=0, dtype=np.float64)
        mean = rows.mean(axis=0, dtype=np.float64)
        # Rounding gives a constant column a spread of some 1e-16 of its value, which is no spread.
        constant = spread <= 1e-9 * np.maximum(np.abs(mean), 1.0)
        return cls(mean=mean, scale=np.where(constant, 0.0, spread))

    def apply(self, rows: Array) -> NDArray[np.float32]:
        """Return scaled rows ``(n, d)`` as float32."""
        varies = self.scale > 0
        scores = (rows - self.mean) / np.where(varies, self.scale, 1.0)
        # What was constant in training would reach weights that never learnt to deal with it.
        return np.where(varies, np.clip(scores, -self.limit, self.limit), 0.0).astype(np.float32)


def scaled_rows(parts: Sequence[Part], num_seen: int) -> tuple[tuple[Rows, ...], Scaler]:
    """Scale every client's rows by one ``Scaler``, fitted on the training rows of the first ``num_seen``.

    Returns
    -------
    tuple
        The rows and the scaler: whoever uses the model later must scale as it did.
    """
    scaler = Scaler.fit(np.concatenate([part.x_train for part in parts[:num_seen]]))
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
