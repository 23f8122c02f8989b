"""The cell-free uplink as the radio of a run: rates and powers of exactly those who upload at a time.

Whenever uploads begin or end, or once for all of a round, `CellFreeRadio` works out their gains and allocates power to
them. Who does not upload sends nothing, not even pilots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar, Literal

import numpy as np

from eafl_flower.core.rng import generator
from eafl_flower.core.settings import NotNegative, check_settings
from eafl_flower.errors import ConfigError
from eafl_flower.power.allocation import Allocation
from eafl_flower.power.dinkelbach import max_min_efficiency
from eafl_flower.power.max_sum_rate import full_power, max_sum_rate
from eafl_flower.power.min_max import min_max_latency
from eafl_flower.power.problem import Array, Budgets, Weighing
from eafl_flower.power.sqp import weighted_powers
from eafl_flower.power.uploads import Uploads
from eafl_flower.radio.cell_free import Uplink, assign_pilots, uplink_gains
from eafl_flower.radio.gains import UplinkGains, require_heard
from eafl_flower.radio.geometry import (
    Area,
    PathLoss,
    access_points,
    distances_m,
    draw_shadowing_db,
    large_scale_fading,
)
from eafl_flower.radio.positions import StraightLines, straight_lines
from eafl_flower.radio.terminals import Terminals
from eafl_flower.types import Grant, Phase, Upload

Method = Literal["weighted", "min-max", "dinkelbach", "max-sum-rate", "full"]
_LEAST_BITS = 1.0  # of an upload that is as good as done


@dataclass(frozen=True, kw_only=True)
class CellFree(Area, PathLoss, Uplink, Weighing):
    """Settings of a cell-free network, and how it allocates power; those of geometry, gains and weights are inherited.

    Parameters
    ----------
    power
        ``"weighted"``: energy against latency (`power.sqp`); ``"min-max"``: the least latency; ``"dinkelbach"``: the
        largest least energy efficiency; ``"max-sum-rate"``: the largest sum of rates; ``"full"``: all at full power.
    round_energy_j, round_latency_s
        What the uploads of a round may take together [J], and how long a round may last, computation included [s], with
        ``"weighted"``; 0: no budget. A round that cannot keep them ends the run.
    speed_m_s
        How fast users go, each straight on in a random direction [m/s].
    downlink_rate_bit_s, downlink_power_w
        Rate of the way down, the same for all [bit/s], and power of a client that receives [W]; at rate 0 downloads are
        not counted.

    Raises
    ------
    ConfigError
        If a setting is out of range, or there are budgets for a method that keeps none.
    """

    power: Method = "weighted"
    round_energy_j: NotNegative = 0.0
    round_latency_s: NotNegative = 0.0
    speed_m_s: NotNegative = 0.0
    downlink_rate_bit_s: NotNegative = 0.0
    downlink_power_w: NotNegative = 0.1

    def __post_init__(self) -> None:
        Area.__post_init__(self)
        Uplink.__post_init__(self)
        without = f'power = "{self.power}" keeps no budget; set power to "weighted"'
        wrong = "" if self.power == "weighted" else without
        check_settings(
            self,
            round_energy_j=wrong if self.round_energy_j else "",
            round_latency_s=wrong if self.round_latency_s else "",
        )

    @property
    def budgets(self) -> Budgets:
        """The budgets of a round."""
        return Budgets(energy_j=self.round_energy_j or np.inf, latency_s=self.round_latency_s or np.inf)

    def make(self, terminals: Terminals) -> "CellFreeRadio":
        """Return the radio of a run."""
        return CellFreeRadio(network=self, terminals=terminals)


@dataclass(frozen=True, kw_only=True)
class CellFreeRadio:
    """One drop of access points and users.

    Parameters
    ----------
    network
        Settings.
    terminals
        The users, and the seed of places, shadowing, pilots and starts of solvers.

    Raises
    ------
    ConfigError
        If no access point hears one of the users.

    Examples
    --------
    >>> radio = CellFreeRadio(network=CellFree(), terminals=Terminals(num_clients=10, seed=1))
    >>> radio.aps_m.shape, radio.users_m(0.0).shape
    ((16, 2), (10, 2))
    """

    coupled: ClassVar = True

    network: CellFree
    terminals: Terminals

    def __post_init__(self) -> None:
        require_heard(self.gains(range(self.terminals.num_clients), 0.0))

    @cached_property
    def aps_m(self) -> Array:
        """Positions of the access points [m], ``(num_aps, 2)``."""
        return access_points(self.network, generator(self.terminals.seed, "radio", "access points"))

    def users_m(self, time_s: float) -> Array:
        """Return positions of the users [m], ``(num_clients, 2)``, within the square."""
        position: Array = self._lines.at(time_s) % self.network.side_m
        return position

    def gains(self, clients: Sequence[int], time_s: float) -> UplinkGains:
        """Return the uplink of these users while nobody else sends.

        Raises
        ------
        ConfigError
            If there is no such user, or none is given.
        """
        users = np.array(clients, np.int64)
        if strangers := [client for client in clients if not 0 <= client < self.terminals.num_clients]:
            msg = (
                f"client {strangers[0]} is not in the network, which was made for clients 0 to "
                f"{self.terminals.num_clients - 1}: give it as many clients as transmit"
            )
            raise ConfigError(msg)
        distance_m = distances_m(self.network, self._lines.at(time_s)[users], self.aps_m)
        fading = large_scale_fading(self.network, distance_m, self._shadowing_db[users])
        pilots = assign_pilots(fading, self.network.num_pilots, generator(self.terminals.seed, "radio", "pilots"))
        return uplink_gains(fading, pilots, self.network)

    def download(self, client: int, time_s: float, num_bytes: int) -> Phase:
        """Price a download: its size through the rate, at constant power; nothing if downloads are not counted."""
        rate = self.network.downlink_rate_bit_s
        download_s = 8 * num_bytes / rate if rate else 0.0
        return Phase(time_s=download_s, energy_j=self.network.downlink_power_w * download_s)

    def grants(self, time_s: float, uploads: Sequence[Upload]) -> list[Grant]:
        """Allocate power to all ``uploads``; one that no access point hears, or that is done, gets nothing.

        Raises
        ------
        InfeasibleError
            If no powers keep the budgets of a round.
        """
        clients = tuple(upload.client for upload in uploads)
        gains = _gains(self, clients, time_s if self.network.speed_m_s else 0.0)
        asking = [k for k, upload in enumerate(uploads) if upload.bits_left > 0 and gains.signal[k] > 0]
        grants = [Grant(rate_bit_s=0.0, power_w=0.0)] * len(uploads)
        if not asking:
            return grants
        of_these = Uploads(
            gains=gains if len(asking) == len(uploads) else gains.of(np.array(asking)),
            payload_bits=np.array([max(uploads[k].bits_left, _LEAST_BITS) for k in asking]),
            computation_s=np.array([max(0.0, uploads[k].start_s - time_s) for k in asking]),
        )
        found = self.allocate(of_these)
        powers_w = self.network.max_power_w * found.power
        for k, rate, power_w in zip(asking, found.rate_bit_s.tolist(), powers_w.tolist(), strict=True):
            grants[k] = Grant(rate_bit_s=rate, power_w=power_w, certified=bool(found.converged))
        return grants

    def allocate(self, uploads: Uploads) -> Allocation:
        """Allocate power by the network's method; raises ``InfeasibleError`` if no powers keep its budgets."""
        network = self.network
        if network.power == "weighted":
            return weighted_powers(uploads, network, network.budgets)
        if network.power == "min-max":
            return min_max_latency(uploads)
        if network.power == "dinkelbach":
            return max_min_efficiency(uploads.gains)
        if network.power == "max-sum-rate":
            return max_sum_rate(uploads.gains, generator(self.terminals.seed, "radio", "starts"))
        return full_power(uploads.gains)

    @cached_property
    def _lines(self) -> StraightLines:
        rng = generator(self.terminals.seed, "radio", "users")
        return straight_lines(self.network, self.terminals.num_clients, self.network.speed_m_s, rng)

    @cached_property
    def _shadowing_db(self) -> Array:
        shape = (self.terminals.num_clients, self.network.num_aps)
        return draw_shadowing_db(self.network, shape, generator(self.terminals.seed, "radio", "shadowing"))


@lru_cache(maxsize=32)
def _gains(radio: CellFreeRadio, clients: tuple[int, ...], time_s: float) -> UplinkGains:
    return radio.gains(clients, time_s)
