r"""How strongly updates answer to moving the model: the curvature that the server sees through local training.

.. math:: L = \frac{\lVert \sum_k n_k (\delta_k - \delta_k') \rVert}{\lVert \sum_k n_k (x_k - x_k') \rVert}

over the clients of a quarter of a round, with :math:`\delta_k` a client's update and :math:`x_k` the arrays it started
from, and dashes for that client's last ones: clients that differ do not add to it. Noise of local training makes it too
large, which errs on the side of short steps. A step :math:`\kappa` with :math:`\kappa L = \gamma` changes the mean
update by a share of about :math:`\gamma` a round.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from eafl_flower.types import Array, Arrays

COORDINATES = 2**14  # enough for a ratio of norms
SHARE = 0.2  # gamma
GROWTH = 1.5  # the step grows at most so much from one measurement to the next
MOST = 16.0
A_ROUND, REMEMBERED = 4, 12  # measurements a round's worth of merges, and how many of them bound the step
_NOTHING = np.zeros(0)


@dataclass(frozen=True, kw_only=True)
class SecantState:
    """The step that the measurements allow, the newest of them, and the sums of the one being made."""

    step: float = 1.0
    slopes: tuple[float, ...] = ()
    merges: int = 0
    updates: NDArray[np.float64] = field(default_factory=_NOTHING.copy)
    bases: NDArray[np.float64] = field(default_factory=_NOTHING.copy)


def sample(arrays: Arrays) -> Array:
    """Return at most 2**14 evenly spaced floating-point elements of ``arrays``, always the same ones.

    They are float64, and 0 where they are not finite.
    """
    flat = [a.reshape(-1) for a in arrays if a.dtype.kind == "f"]
    # An odd distance does not fall into step with rows of even length.
    apart = -(-sum(a.size for a in flat) // COORDINATES) | 1
    taken: Array = np.nan_to_num(np.concatenate([_NOTHING, *(a[::apart] for a in flat)]), posinf=0.0, neginf=0.0)
    return taken


def observe(
    state: SecantState, *, update: Array, base: Array, weight: float, clients: int, at_least: float
) -> SecantState:
    """Take in how much the update and the base of one client differ from its last ones.

    Parameters
    ----------
    state
        What was measured before.
    update, base
        Differences on the measured coordinates; empty if the client had none before.
    weight
        Its weight.
    clients
        Merges in a round's worth.
    at_least
        The step that is taken if it is longer than what the measurements allow.
    """
    merges, updates, bases = state.merges + 1, state.updates, state.bases
    if update.size:
        updates = updates + weight * update if updates.size else weight * update
        bases = bases + weight * base if bases.size else weight * base
    if merges < max(1, clients // A_ROUND):
        return SecantState(step=state.step, slopes=state.slopes, merges=merges, updates=updates, bases=bases)
    moved = float(np.linalg.norm(bases))
    if not moved > 0:
        return SecantState(step=state.step, slopes=state.slopes)
    slopes = (*state.slopes, float(np.linalg.norm(updates)) / moved)[-REMEMBERED:]
    steepest = max(slopes)
    allowed = SHARE / steepest if steepest > 0 else math.inf
    return SecantState(step=min(allowed, GROWTH * max(state.step, at_least), MOST), slopes=slopes)
