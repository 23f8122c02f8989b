r"""Lloyd's k-means with 256 centres.

On samples that are small integers the result is exact, hence the same on every machine: with
:math:`|x_i| \le 32` and centres that are multiples of :math:`2^{-6}` up to 32 in magnitude, all sums of 256
products of :math:`x` and :math:`2^6 c` stay below :math:`2^{24}`, so float32 rounds none of them, in whatever
order a linear-algebra library adds them up.

References
----------
Lloyd, "Least squares quantization in PCM", IEEE Trans. Information Theory 28, 1982.
"""

import numpy as np
from numpy.typing import NDArray

CENTRES = 256
_ROWS = 4096  # compared with the centres at a time


def kmeans(
    samples: NDArray[np.float32], rng: np.random.Generator, *, iterations: int = 20, grid: float = 0.0
) -> NDArray[np.float32]:
    """Return 256 centres `(256, d)` of samples `(n, d)`, n >= 256.

    Parameters
    ----------
    samples
        The samples.
    rng
        Draws the samples that the centres start from.
    iterations
        The most to be made; it ends earlier when no centre moves.
    grid
        Centres are rounded to multiples of it; 0: not rounded.
    """
    centres = samples[rng.choice(len(samples), CENTRES, replace=False)].astype(np.float32)
    for _ in range(iterations):
        labels = nearest(samples, centres)
        order = np.argsort(labels, kind="stable")
        counts = np.bincount(labels, minlength=CENTRES)
        filled = counts > 0
        starts = (np.cumsum(counts) - counts)[filled]
        means = np.add.reduceat(samples[order], starts, axis=0, dtype=np.float64) / counts[filled, None]
        moved = centres.copy()  # an empty centre stays
        moved[filled] = grid * np.rint(means / grid) if grid else means
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def half_energies(centres: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return half the squared norm of each centre."""
    energies: NDArray[np.float64] = 0.5 * np.einsum("...i,...i->...", centres, centres, dtype=np.float64)
    return energies


def nearest(
    samples: NDArray[np.float32], centres: NDArray[np.float32], offset: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """Return the nearest centre of each sample `(n,)`, the first of equally near ones.

    ``offset`` is ``half_energies(centres)``, if it is known.
    """
    offset = half_energies(centres) if offset is None else offset
    labels = np.empty(len(samples), np.int64)
    for first in range(0, len(samples), _ROWS):
        rows = slice(first, first + _ROWS)
        labels[rows] = np.argmin(offset - samples[rows] @ centres.T, axis=1)
    return labels
