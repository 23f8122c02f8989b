r"""How alike two latent spaces are, whatever their axes: linear centred kernel alignment (CKA).

.. math:: \mathrm{CKA}(X, Y) = \frac{\|Y^T X\|_F^2}{\|X^T X\|_F \, \|Y^T Y\|_F}

for latents of the same images, one a row, each column centred. It is 1 for spaces that a rotation and a scale make
equal, and 0 for uncorrelated ones.

References
----------
Kornblith, Norouzi, Lee and Hinton, "Similarity of neural network representations revisited", ICML 2019, equation 7.
"""

from numpy.linalg import norm

from eafl_flower.errors import DataError
from eafl_flower.types import Array


def linear_cka(x: Array, y: Array) -> float:
    """Return the linear CKA of latents ``(n, d)`` and ``(n, e)`` of the same images, from 0 to 1.

    Raises
    ------
    DataError
        If the numbers of rows differ, or all rows of one are the same.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise DataError(f"latents are {x.shape} and {y.shape}, expected (n, d) and (n, e) of the same n images")
    a, b = (z.astype(float) - z.mean(axis=0, dtype=float) for z in (x, y))
    sizes = float(norm(a.T @ a) * norm(b.T @ b))
    if not sizes > 0:
        raise DataError("all latents of an encoder are the same, so that nothing can be like them")
    return float(norm(b.T @ a) ** 2 / sizes)
