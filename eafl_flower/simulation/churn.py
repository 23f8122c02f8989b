"""Clients that come and go, as functions of time."""

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError


class Churn(Protocol):
    """When each client is reachable."""

    def interval(self, client: int, time_s: float) -> tuple[bool, float]:
        """Return whether ``client`` is on at ``time_s``, and until when that stays so [s]."""


@dataclass(frozen=True)
class AlwaysOn:
    """Every client is reachable for ever."""

    def interval(self, client: int, time_s: float) -> tuple[bool, float]:
        """Return ``(True, inf)``."""
        return True, math.inf


@dataclass(frozen=True, kw_only=True)
class OnOff:
    """Exponential on and off times that alternate, each client starting on at time 0.

    The times of a client are a function of ``(seed, "churn", client)``: they do not depend on what
    is asked, how often or in which order. Half-open intervals: at the instant of a switch the
    client is already in its new state.

    Parameters
    ----------
    seed
        Seed of the run.
    mean_on_s, mean_off_s
        Means of the exponential distributions [s].

    Raises
    ------
    ConfigError
        If a mean is not positive and finite.
    """

    seed: int
    mean_on_s: float
    mean_off_s: float
    _switches_s: dict[int, NDArray[np.float64]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("mean_on_s", "mean_off_s"):
            if not (0 < getattr(self, name) < math.inf):
                msg = f"churn: {name} = {getattr(self, name)}: expected a positive number"
                raise ConfigError(msg)

    def interval(self, client: int, time_s: float) -> tuple[bool, float]:
        """Return whether ``client`` is on at ``time_s``, and until when that stays so [s].

        Raises
        ------
        ValueError
            If ``time_s`` is negative or not finite.
        """
        if not 0 <= time_s < math.inf:
            msg = f"churn of client {client} at {time_s} s: expected a finite time of at least 0"
            raise ValueError(msg)
        switches_s = self._switches_s.get(client)
        if switches_s is None or switches_s[-1] <= time_s:
            switches_s = self._switches_s[client] = self._draw(
                client, time_s, 0 if switches_s is None else switches_s.size
            )
        switched = int(np.searchsorted(switches_s, time_s, side="right"))
        return switched % 2 == 0, float(switches_s[switched])

    def _draw(self, client: int, time_s: float, num_known: int) -> NDArray[np.float64]:
        # Drawn anew from the start, twice as many each time: constant cost per switch, no generator to
        # keep for each of 100,000 clients, and the first n of 2n numbers are the n drawn before.
        num_pairs = max(8, num_known)
        while True:
            durations_s = generator(self.seed, "churn", client).standard_exponential((num_pairs, 2))
            switches_s: NDArray[np.float64] = np.cumsum(durations_s * (self.mean_on_s, self.mean_off_s))
            if switches_s[-1] > time_s:
                return switches_s
            num_pairs *= 2
