"""What a play is worth: how good the model became and how soon it came; energy has its price elsewhere."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from eafl_flower.ranks.ucb_dual import Floats


def normalised_reward(
    quality: ArrayLike, time_s: ArrayLike, *, deadline_s: float, quality_weight: float = 0.75, time_weight: float = 0.25
) -> Floats:
    r"""Return the reward of plays, from 0 to 1.

    .. math:: u = \frac{g_a\,\tilde q + g_t\,(1 - \min(1, \tau / T_{dl}))}{g_a + g_t}

    Energy is not in it: it enters only through its price.

    Parameters
    ----------
    quality
        :math:`\tilde q` from 0 to 1, as ``centred_quality`` gives it; what is outside is cut.
    time_s
        Time of the job :math:`\tau` [s].
    deadline_s
        :math:`T_{dl}` [s]: what takes so long is worth nothing for its time.
    quality_weight, time_weight
        :math:`g_a` and :math:`g_t`.

    Examples
    --------
    >>> float(normalised_reward(0.5, 3.0, deadline_s=6.0))
    0.5
    """
    in_time = 1.0 - np.minimum(1.0, np.asarray(time_s, float) / deadline_s)
    total = quality_weight + time_weight
    return np.asarray((quality_weight * np.clip(quality, 0.0, 1.0) + time_weight * in_time) / total)


def centred_quality(score: ArrayLike, usual: float, *, spread: float = 0.2) -> Floats:
    r"""Return how far a score is above what was usual before, from 0 to 1.

    .. math:: \tilde q = \left[\tfrac12 + (a - \bar a) / \text{spread}\right]_0^1

    What all gain as training goes on is taken off; else every arm would look better the later it is played.

    Parameters
    ----------
    score
        Score :math:`a` of plays, larger is better; an accuracy from 0 to 1, not in per cent.
    usual
        Mean score :math:`\bar a` of the round before.
    spread
        Width of what is told apart.

    Examples
    --------
    >>> float(centred_quality(0.75, 0.7, spread=0.2))
    0.75
    """
    return np.asarray(np.clip(0.5 + (np.asarray(score, float) - usual) / spread, 0.0, 1.0))


def linear_reward(accuracy_percent: ArrayLike, time_s: ArrayLike, energy_j: ArrayLike) -> Floats:
    """Return the reward of the released code: 1.8 a - 0.16 t - 0.001 e, of per cent, seconds and joules.

    Examples
    --------
    >>> float(linear_reward(50.0, 100.0, 1000.0))
    73.0
    """
    parts: Sequence[ArrayLike] = (accuracy_percent, time_s, energy_j)
    accuracy, time, energy = (np.asarray(part, float) for part in parts)
    return np.asarray(1.8 * accuracy - 0.16 * time - 0.001 * energy)
