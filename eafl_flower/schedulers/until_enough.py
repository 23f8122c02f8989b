"""Clients that train until they have had enough, within what a round may take."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import Enough, Order
from eafl_flower.core.settings import CountFromOne, NotNegative, check_settings
from eafl_flower.types import Phase

_ROUNDING = 1 + 2.0**-50  # a budget of exactly so many epochs is enough for them


@dataclass(frozen=True, kw_only=True)
class UploadsBefore:
    """State of ``UntilEnough``: of each client's newest upload `(clients,)`, 0 before its first one."""

    time_s: NDArray[np.float64]
    energy_j: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class UntilEnough:
    r"""The scheduler by which every client trains until it has had enough, as ``Enough`` says.

    At most it makes as many epochs as fit into the budget of a round beside an upload like its last one,

    .. math:: l \le \left\lfloor \min\left(\frac{\ell_{max} - \ell^{up}}{\ell^{epoch}},\
              \frac{E_{max} - E^{up}}{E^{epoch}}\right)\right\rfloor

    but ``least`` always. Downloads are not counted.

    Parameters
    ----------
    share, least, most
        See ``Enough``.
    round_time_s, round_energy_j
        What computation and upload of a job may take: :math:`\ell_{max}` [s] and :math:`E_{max}` [J]; 0: no limit.

    Raises
    ------
    ConfigError
        If a number is out of range, or ``least`` above ``most``.
    """

    share: NotNegative = 0.01
    least: CountFromOne = 1
    most: CountFromOne = 12
    round_time_s: NotNegative = 0.0
    round_energy_j: NotNegative = 0.0

    def __post_init__(self) -> None:
        above = f"expected at most most = {self.most}" if self.least > self.most else ""
        check_settings(self, least=above)

    def init(self, clients: int) -> UploadsBefore:
        """Return the state before the first job; clients find a place in it when they have uploaded."""
        return UploadsBefore(time_s=np.zeros(0), energy_j=np.zeros(0))

    def offer(self, state: UploadsBefore, client: int, forecast: Forecast) -> Order:
        """Return the rule to stop by."""
        most = self.most
        if self.round_time_s or self.round_energy_j:
            before = _newest(state, client)
            affordable = min(
                _quotient(self.round_time_s, before.time_s, forecast.epoch.time_s),
                _quotient(self.round_energy_j, before.energy_j, forecast.epoch.energy_j),
            )
            most = max(self.least, math.floor(min(float(most), affordable)))
        return Order(stop=Enough(share=self.share, least=self.least, most=most))

    def learn(self, state: UploadsBefore, outcome: Outcome) -> UploadsBefore:
        """Note what the upload of a merged update took, where there is a budget."""
        if outcome.kind != "merged" or not (self.round_time_s or self.round_energy_j):
            return state
        room = (0, max(0, outcome.client + 1 - len(state.time_s)))
        time_s, energy_j = np.pad(state.time_s, room), np.pad(state.energy_j, room)
        time_s[outcome.client], energy_j[outcome.client] = outcome.upload.time_s, outcome.upload.energy_j
        return UploadsBefore(time_s=time_s, energy_j=energy_j)


def _newest(state: UploadsBefore, client: int) -> Phase:
    if client >= len(state.time_s):
        return Phase(time_s=0.0, energy_j=0.0)
    return Phase(time_s=float(state.time_s[client]), energy_j=float(state.energy_j[client]))


def _quotient(budget: float, spent: float, each: float) -> float:
    """Return how many times ``each`` fits into what is left of ``budget``: infinitely often where one is 0."""
    return (budget - spent) / each * _ROUNDING if budget and each else math.inf
