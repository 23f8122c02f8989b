r"""What rounds take over one drop of a cell-free uplink, and how many of them fit into budgets.

.. math:: \ell_t = \max_j (\ell^{cp}_{tj} + b_{tj} / R_j(p_t)), \qquad
          E_t = \sum_j (E^{cp}_{tj} + P_u p_{tj} b_{tj} / R_j(p_t)), \qquad
          \ell^{cp}_{tj} = L_{tj} c\, n_j / f, \quad E^{cp}_{tj} = \frac{\kappa}{2} L_{tj} c\, n_j f^2

A run ends before the first round that would exceed a budget; :math:`T_{max}` rounds are made. Everything is priced as a
run with ``radio.name = "cell-free"`` prices it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from eafl_flower.energy.model import CMOSEnergy
from eafl_flower.power import Allocation, Uploads
from eafl_flower.power.cell_free_radio import CellFreeRadio
from eafl_flower.radio.gains import UplinkGains
from eafl_flower.types import Work

Array = NDArray[np.float64]
Allocate = Callable[[Uploads], Allocation]
OF_PAYLOADS = ("weighted", "min-max")  # methods whose powers depend on what is sent


@dataclass(frozen=True, kw_only=True, eq=False)
class Rounds:
    """What clients compute and send in rounds in which all take part.

    Parameters
    ----------
    bits
        Payloads, positive, ``(num_rounds, num_clients)``.
    epochs
        Passes over the rows, of the same shape.
    samples
        Rows of each client, ``(num_clients,)``.
    processor
        Prices computation.
    """

    bits: Array
    epochs: NDArray[np.int64]
    samples: NDArray[np.int64]
    processor: CMOSEnergy

    @cached_property
    def computation(self) -> tuple[Array, Array]:
        """Time [s] and energy [J] of each job, each ``(num_rounds, num_clients)``."""
        price = self.processor
        works = [
            [Work(num_examples=int(n), epochs=int(passes)) for n, passes in zip(self.samples, row, strict=True)]
            for row in self.epochs
        ]
        time_s = np.array([[price.compute_time_s(work) for work in row] for row in works])
        energy_j = np.array([[price.compute_energy_j(work) for work in row] for row in works])
        return time_s, energy_j


@dataclass(frozen=True, kw_only=True, eq=False)
class Costs:
    """What each round takes: energy of all clients [J] and time until the last is done [s], ``(num_rounds,)``.

    ``uncertified`` is how many of the powers are not known to be optimal, ``starved_fraction`` the mean share of users
    at the least power, ``solves`` how often powers were allocated.
    """

    energy_j: Array
    latency_s: Array
    uncertified: int
    starved_fraction: float
    solves: int


def costs_of(rounds: Rounds, gains: UplinkGains, allocate: Allocate) -> Costs:
    """Price rounds over one drop; powers are allocated once for rounds with the same uploads."""
    compute_s, compute_j = rounds.computation
    energy_j, latency_s = np.empty(len(rounds.bits)), np.empty(len(rounds.bits))
    found: dict[bytes, tuple[Allocation, float, float]] = {}
    for i, (bits, time_s) in enumerate(zip(rounds.bits, compute_s, strict=True)):
        key = bits.tobytes() + time_s.tobytes()
        if key not in found:
            uploads = Uploads(gains=gains, payload_bits=bits, computation_s=time_s)
            allocation = allocate(uploads)
            sent_j = float(uploads.energies_j(allocation.power).sum())
            found[key] = allocation, sent_j, float(uploads.latencies_s(allocation.power).max())
        _, sent_j, latency_s[i] = found[key]
        energy_j[i] = sent_j + compute_j[i].sum()
    allocations = {id(allocation): allocation for allocation, _, _ in found.values()}.values()
    return Costs(
        energy_j=energy_j,
        latency_s=latency_s,
        uncertified=sum(not allocation.converged for allocation in allocations),
        starved_fraction=float(np.mean([allocation.starved_fraction for allocation in allocations])),
        solves=len(allocations),
    )


@lru_cache(maxsize=256)
def gains_of(radio: CellFreeRadio, clients: int) -> UplinkGains:
    """Return the gains of all clients of a drop."""
    return radio.gains(range(clients), 0.0)


def allocator(radio: CellFreeRadio) -> Allocate:
    """Return the radio's method; what does not depend on payloads is solved once."""
    return radio.allocate if radio.network.power in OF_PAYLOADS else lambda uploads: _solved(radio, uploads.gains)


@lru_cache(maxsize=256)
def _solved(radio: CellFreeRadio, gains: UplinkGains) -> Allocation:
    return radio.allocate(Uploads(gains=gains, payload_bits=np.ones(gains.num_users)))


def rounds_within(
    energy_j: Array, latency_s: Array, energy_budget_j: float, latency_budget_s: float
) -> NDArray[np.int64]:
    """Return how many rounds are made before the first that would exceed a budget.

    Parameters
    ----------
    energy_j, latency_s
        What each round takes, ``(..., num_rounds)``, positive.
    energy_budget_j, latency_budget_s
        What all rounds together may take.

    Returns
    -------
    array
        :math:`T_{max}`, ``(...)``.

    Examples
    --------
    >>> rounds_within(np.array([1.0, 1.0, 1.0]), np.array([2.0, 2.0, 2.0]), 2.5, 100.0)
    2
    """
    within = (np.cumsum(energy_j, axis=-1) <= energy_budget_j) & (np.cumsum(latency_s, axis=-1) <= latency_budget_s)
    return np.asarray(within.sum(axis=-1), np.int64)[()]
