r"""Whether a matrix can be :math:`M^H M`: answers come over a network, perhaps through a codec that loses something."""

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import UpdateRefusedError

Complex = NDArray[np.complex128]
_SLACK = 0.25  # what a codec may bend; of an arbitrary matrix the skew part has 0.7 of the norm
_ROUNDING = 1e-6  # of what travels as float32


def plausible_gram(gram: Complex, whose: str) -> Complex:
    r"""Return the positive semidefinite matrix that is meant by ``gram``; one that is that already, bit for bit.

    Its Hermitian part, and of that :math:`\sum_i \max(\lambda_i, 0)\, v_i v_i^H` where a codec has made eigenvalues
    :math:`\lambda_i` negative by more than rounding does.

    Parameters
    ----------
    gram
        What arrived for :math:`M^H M`, finite, ``(q, q)``.
    whose
        Whose it is, for the message.

    Raises
    ------
    UpdateRefusedError
        If the skew part has more than a quarter of its norm, or an eigenvalue is negative by more than a quarter of
        the largest one.
    """
    adjoint = gram.conj().T
    skew, size = float(np.linalg.norm(gram - adjoint)) / 2, float(np.linalg.norm(gram))
    if skew > _SLACK * size:
        msg = f"{whose} is not Hermitian ({100 * skew / size:.0f} % of its norm is skew): expected M^H M"
        raise UpdateRefusedError(msg)
    half: Complex = (gram + adjoint) / 2
    values, vectors = np.linalg.eigh(half)
    least, most = float(values[0]), float(np.abs(values).max())
    if least < -_SLACK * most:
        msg = f"{whose} has an eigenvalue of {least:.3g} beside {most:.3g}: expected M^H M, which has none below 0"
        raise UpdateRefusedError(msg)
    if least >= -_ROUNDING * most:
        return half
    meant: Complex = (vectors * np.maximum(values, 0)) @ vectors.conj().T
    return meant
