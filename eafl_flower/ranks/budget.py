r"""How a global budget is shared between tasks, again and again: hard ones that use their share get what others leave.

.. math::
    h_\tau \leftarrow 0.9\,h_\tau + 0.1\,d_\tau, \qquad w_\tau = h_\tau^2\,\frac{used_\tau}{E_\tau}, \qquad
    E_\tau \leftarrow used_\tau + \frac{w_\tau}{\sum w}\Big(E - \sum used\Big)

References
----------
The rule in units of rank is that of the code released for arXiv 2508.09532, the one in joules ours with the same
structure (``docs/ucb-dual.md``).
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike

from eafl_flower.core.settings import CountFromOne, NotNegative, Positive, Range, Share, check_settings
from eafl_flower.errors import ConfigError
from eafl_flower.ranks.ucb_dual import Floats, Integers


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Budgets of the tasks [J] and what they rest on, all `(tasks,)`.

    ``used`` is a moving mean of the energy of a round [J], ``first_loss`` and ``last_loss`` are 0 before a task's first
    score.
    """

    budgets: Floats
    difficulty: Floats
    used: Floats
    first_loss: Floats
    last_loss: Floats
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Sharing:
    r"""How the budget is shared.

    Parameters
    ----------
    memory
        Share of the old difficulty that is kept each round.
    exponent
        Power of the difficulty in the weight.
    period
        Rounds between two changes of the budgets.
    largest_share
        The most that one of several tasks gets; at least what all have if they have the same.
    least_factor
        A task keeps so many times the energy of its smallest ranks: above 1, so that its price can fall.
    use_memory
        Share of the old mean in that of the energy used.
    difficulty
        "accuracy": budget over accuracy, :math:`d = (E_\tau T / E) / \max(acc_\tau, 0.05)`; "loss": what is left of the
        loss over how fast it falls, :math:`d = (L/L_0) / (1 + 20\,\max(0, L'-L)/L')`, :math:`L'` of the round before;
        1 and 0 stand for the quotients by a loss that is not above 0.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    memory: Share = 0.9
    exponent: NotNegative = 2.0
    period: CountFromOne = 6
    largest_share: Annotated[float, Range(0, 1, above=True)] = 0.7
    least_factor: Positive = 1.05
    use_memory: Share = 0.5
    difficulty: Literal["accuracy", "loss"] = "accuracy"

    def __post_init__(self) -> None:
        check_settings(self)


def default_budget_j(least_j: ArrayLike, most_j: ArrayLike) -> float:
    """Return 0.6 of what all vehicles spend with their largest ranks and 0.4 of that with their smallest [J].

    Examples
    --------
    >>> default_budget_j([1.0, 1.0], [2.0, 4.0])
    4.4
    """
    return float(0.6 * np.sum(most_j) + 0.4 * np.sum(least_j))


def first_shares(total_j: float, least_j: ArrayLike, sharing: Sharing) -> Shares:
    """Return equal budgets, as far as the least ones allow.

    Parameters
    ----------
    total_j
        The global budget of a round [J].
    least_j
        What the vehicles of each task spend in a round with their smallest ranks [J] `(tasks,)`.
    sharing
        The rule.

    Raises
    ------
    ConfigError
        If the budget is below what all smallest ranks need, or there are no tasks.
    """
    least = np.asarray(least_j, float)
    if not least.size:
        raise ConfigError("there are no tasks to share a budget between")
    needed = sharing.least_factor * least.sum()
    if not np.isfinite(total_j) or total_j <= 0 or total_j < needed:
        msg = (
            f"a budget of {total_j:.6g} J a round is below the {needed:.6g} J that all tasks need for their smallest "
            f"ranks ({sharing.least_factor:.6g} times their energy): raise it, or allow smaller ranks"
        )
        raise ConfigError(msg)
    zeros = np.zeros(least.size)
    budgets = _within(np.full(least.size, total_j / least.size), total_j, least, sharing)
    return Shares(budgets=budgets, difficulty=zeros, used=zeros, first_loss=zeros, last_loss=zeros, rounds=0)


def shared_anew(
    shares: Shares,
    used_j: ArrayLike,
    scores: ArrayLike,
    *,
    least_j: ArrayLike,
    sharing: Sharing,
    jobs: ArrayLike = 1.0,
) -> Shares:
    """Take in one round; every so many of them the budgets change. They add up to the same total, to rounding.

    Where more was used than there is, each task gets its share of the total by what it used, whatever its difficulty.

    Parameters
    ----------
    shares
        The budgets so far.
    used_j
        What each task used in this round [J] `(tasks,)`.
    scores
        Accuracy of each task from 0 to 1, or its loss, as ``sharing`` says `(tasks,)`.
    least_j
        As in ``first_shares``.
    sharing
        The rule.
    jobs
        How many jobs each task has on average, where budgets are of jobs `(tasks,)`: the budget by which a task is hard
        and its part of what is left are then those of a job. A task without any gets nothing, and counts as hard as
        the others are on average.
    """
    used, score = np.asarray(used_j, float), np.asarray(scores, float)
    crowd = np.broadcast_to(np.asarray(jobs, float), used.shape)
    crowd = crowd / crowd.mean()
    there = crowd > 0
    total = float(shares.budgets.sum())
    if shares.rounds:
        used = sharing.use_memory * shares.used + (1 - sharing.use_memory) * used
    first = np.where(shares.first_loss > 0, shares.first_loss, score)
    if sharing.difficulty == "loss":
        before, left, fall = shares.last_loss, np.ones_like(score), np.zeros_like(score)
        np.divide(score, first, out=left, where=first > 0)
        np.divide(np.maximum(0.0, before - score), before, out=fall, where=before > 0)
        now = np.maximum(0.0, left) / (1.0 + 20.0 * fall)
    else:
        now = shares.budgets / total * used.size / np.where(there, crowd, 1.0) / np.maximum(score, 0.05)
    now = np.where(there, now, now[there].mean())
    difficulty = sharing.memory * shares.difficulty + (1 - sharing.memory) * now
    known = replace(
        shares, difficulty=difficulty, used=used, first_loss=first, last_loss=score, rounds=shares.rounds + 1
    )
    if known.rounds % sharing.period:
        return known
    wanted = _wanted(shares.budgets, used, difficulty**sharing.exponent * crowd, total)
    return replace(known, budgets=_within(wanted, total, np.asarray(least_j, float), sharing))


def released_shares(
    budgets: ArrayLike,
    used: ArrayLike,
    difficulty: ArrayLike,
    *,
    total: int,
    least: int = 24,
    largest_share: float = 0.7,
) -> Integers:
    """Return the budgets of the released rule, in whole units of rank; they need not add up to the total.

    Where more is used than there is, it takes most from the hardest task.

    Parameters
    ----------
    budgets, used, difficulty
        Of each task `(tasks,)`.
    total
        Units of rank there are.
    least, largest_share
        Bounds of each budget: units, and a share of the total.

    Examples
    --------
    >>> released_shares([100, 100], [100, 80], [1.0, 1.0], total=200)
    array([111,  89])
    """
    now, taken = np.asarray(budgets, float), np.asarray(used, float)
    weight = np.asarray(difficulty, float) ** 2 * taken / now
    extra = np.rint(weight * (total - taken.sum()) / weight.sum())
    return np.asarray(np.clip(taken + extra, least, largest_share * total), np.int64)


def released_difficulty(difficulty: ArrayLike, budgets: ArrayLike, accuracy_percent: ArrayLike) -> Floats:
    """Return the next difficulty of the released rule: 0.9 of it and 0.1 of the budget over the accuracy.

    Examples
    --------
    >>> released_difficulty([0.0], [100], [50.0])
    array([0.2])
    """
    return np.asarray(0.9 * np.asarray(difficulty, float) + 0.1 * np.asarray(budgets) / np.asarray(accuracy_percent))


def _wanted(budgets: Floats, used: Floats, hardness: Floats, total: float) -> Floats:
    left = total - used.sum()
    weight = hardness * np.divide(used, budgets, out=np.zeros_like(used), where=budgets > 0)
    if left < 0:
        return np.asarray(used * total / used.sum())
    if weight.sum() <= 0:
        return budgets
    return np.asarray(used + weight / weight.sum() * left)


def _within(wanted: Floats, total: float, least_j: Floats, sharing: Sharing) -> Floats:
    """Return ``wanted`` times one factor, cut to the bounds, so that all add up to ``total``."""
    low = sharing.least_factor * least_j
    if low.sum() > total * (1 + 1e-9):
        msg = f"the smallest ranks need {low.sum():.6g} J a round, above the budget of {total:.6g} J: raise it"
        raise ConfigError(msg)
    high = np.maximum(low, max(sharing.largest_share, 1 / wanted.size) * total)
    wanted = np.maximum(wanted, 1e-12 * total)
    if low.sum() >= total:  # nothing is left to share
        return np.asarray(low * (total / low.sum()))
    # The sum of clip(f x) rises with f and is linear between the factors at which one more is cut.
    corners = np.sort(np.concatenate([low / wanted, high / wanted]))
    sums = np.clip(np.outer(corners, wanted), low, high).sum(1)
    place = int(np.clip(np.searchsorted(sums, total), 1, corners.size - 1))
    rise = sums[place] - sums[place - 1]
    along = (total - sums[place - 1]) / rise if rise > 0 else 0.0
    factor = corners[place - 1] + along * (corners[place] - corners[place - 1])
    budgets = np.clip(factor * wanted, low, high)
    free = (budgets > low) & (budgets < high)
    budgets[int(np.argmax(np.where(free, budgets, -1.0)))] += total - budgets.sum()  # rounding
    assert np.isclose(budgets.sum(), total, rtol=1e-9, atol=0)
    return np.asarray(budgets)
