r"""The rank allocator as it was released, in units of rank: a reference, with what is wrong with it.

.. math::
    U \leftarrow \max(U,\ \bar r - \lambda\eta + \sqrt{2\ln m / n}), \qquad
    \lambda \leftarrow \max\left(0,\ \lambda + 0.01\left(\sum_v\eta_v - \eta_\tau\right)\right)

Arms are capped by a vehicle's share of the budget, so that the sum never exceeds it and :math:`\lambda` stays 0; an
index never falls; and where it starts at 0, far below any reward, an arm that was not played never is. Written anew
from a description of the code; ``docs/ucb-dual.md`` has the list. Use ``ucb_dual`` for anything but comparison.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from eafl_flower.errors import ConfigError
from eafl_flower.ranks.ucb_dual import Floats, Integers

ARMS: Final = (8, 16, 24, 32, 40, 48, 56, 64, 128, 168, 200)
PERIOD: Final = 3  # rounds between two selections
_STEP: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class ReleaseState:
    """What is known of a task's vehicles: ranks in increasing order, 0 behind the last one `(vehicles, arms)`.

    ``counts``, ``rewards`` and ``index`` are of the same shape, ``start`` is what the index began with, ``current`` the
    place of each vehicle's arm `(vehicles,)`, ``dual`` the price of a unit of rank and ``budget`` the task's, in these.
    """

    ranks: Integers
    counts: Floats
    rewards: Floats
    index: Floats
    start: float
    current: Integers
    dual: float
    budget: int

    @property
    def current_ranks(self) -> Integers:
        """Rank of each vehicle `(vehicles,)`."""
        return np.asarray(np.take_along_axis(self.ranks, self.current[:, None], 1)[:, 0])


def shares_of(budget: int, num_examples: ArrayLike) -> Integers:
    """Return the whole-numbered share of a budget by each vehicle's examples; the last one takes what rounding left.

    Examples
    --------
    >>> shares_of(100, [1, 2, 3])
    array([17, 33, 50])
    """
    examples = np.asarray(num_examples, float)
    shares = np.rint(budget * examples / examples.sum()).astype(np.int64)
    shares[-1] = budget - shares[:-1].sum()
    return np.asarray(shares)


def released_state(budget: int, num_examples: ArrayLike, *, start: float = 0.0) -> ReleaseState:
    """Return the state of a task before its first round: each vehicle plays its cap.

    Parameters
    ----------
    budget
        Units of rank of the task.
    num_examples
        Examples of each vehicle `(vehicles,)`: its cap is its share of the budget by these.
    start
        What every index begins with: 0, or 155 for the task that was segmentation.

    Raises
    ------
    ConfigError
        If the share of a vehicle is below 1.
    """
    caps = shares_of(budget, num_examples)
    if caps.min() < 1:
        msg = f"a budget of {budget} units of rank leaves {caps.min()} to a vehicle: expected 1 for each at least"
        raise ConfigError(msg)
    arms = np.array(ARMS)
    ranks = np.column_stack([np.where(arms < caps[:, None], arms, 0), caps])
    ranks = np.sort(np.where(ranks, ranks, np.iinfo(np.int64).max), axis=1)
    ranks[ranks > caps[:, None]] = 0
    zeros = np.zeros(ranks.shape)
    return ReleaseState(
        ranks=ranks,
        counts=zeros,
        rewards=zeros,
        index=np.where(ranks, start, -np.inf),
        start=start,
        current=ranks.argmax(1),
        dual=0.0,
        budget=budget,
    )


def released_round(state: ReleaseState, rewards: ArrayLike, number: int) -> ReleaseState:
    """Take in the rewards of round ``number``, from 1, of all vehicles; every third round they choose anew.

    They choose among the arm below the current one, that, and the one above; then the price moves.
    """
    vehicles = np.arange(state.current.size)
    place = (vehicles, state.current)
    counts, sums, index = state.counts.copy(), state.rewards.copy(), state.index.copy()
    counts[place] += 1.0
    sums[place] += np.asarray(rewards, float)
    bonus = np.sqrt(2.0 * math.log(number) / counts[place])
    found = sums[place] / counts[place] - state.dual * state.current_ranks + bonus
    before = index[place]
    index[place] = np.where((found >= before) | (before == state.start), found, before)
    state = replace(state, counts=counts, rewards=sums, index=index)
    return state if number % PERIOD else _chosen(state)


def _chosen(state: ReleaseState) -> ReleaseState:
    near = np.clip(state.current[:, None] + np.array([-1, 0, 1]), 0, state.ranks.shape[1] - 1)
    best = np.take_along_axis(state.index, near, 1).argmax(1)
    state = replace(state, current=np.take_along_axis(near, best[:, None], 1)[:, 0])
    over = int(state.current_ranks.sum()) - state.budget
    return replace(state, dual=max(0.0, state.dual + _STEP * over))
