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
from eafl_flower.radio.gains import UplinkGains
from eafl_flower.radio.geometry import (
    Area,
    PathLoss,
    access_points,
    distances_m,
    draw_shadowing_db,
    large_scale_fading,
)
from eafl_flower.radio.positions import StraightLines, straight_lines
from eafl_flower.types import Grant, Phase, Upload

Method = Literal["weighted", "min-max", "dinkelbach", "max-sum-rate", "full"]
_LEAST_BITS = 1.0  # of an upload that is as good as done
_NOTHING = Grant(rate_bit_s=0.0, power_w=0.0)


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

    def make(self, seed: int) -> "CellFreeRadio":
        """Return the radio of a run."""
        return CellFreeRadio(network=self, seed=seed)


@dataclass(frozen=True, kw_only=True)
class CellFreeRadio:
    """One drop of access points and users; a user is drawn when it is first asked about, from the seed and its number.

    Parameters
    ----------
    network
        Settings.
    seed
        Seed of places, shadowing, pilots and starts of solvers.

    Examples
    --------
    >>> radio = CellFreeRadio(seed=1)
    >>> radio.aps_m.shape, radio.users_m([0, 1, 2], time_s=5.0).shape
    ((16, 2), (3, 2))
    """

    coupled: ClassVar = True

    network: CellFree = CellFree()
    seed: int = 0

    @cached_property
    def aps_m(self) -> Array:
        """Positions of the access points [m], ``(num_aps, 2)``."""
        return access_points(self.network, generator(self.seed, "radio", "access points"))

    def users_m(self, clients: Sequence[int], time_s: float) -> Array:
        """Return positions of users [m], ``(number of clients, 2)``, within the square."""
        lines, _ = _users(self, tuple(clients))
        position: Array = lines.at(time_s) % self.network.side_m
        return position

    def gains(self, clients: Sequence[int], time_s: float) -> UplinkGains:
        """Return the uplink of these users while nobody else sends.

        Raises
        ------
        ConfigError
            If no access point hears one of them, or none is given.
        """
        lines, shadowing_db = _users(self, tuple(clients))
        fading = large_scale_fading(self.network, distances_m(self.network, lines.at(time_s), self.aps_m), shadowing_db)
        pilots = assign_pilots(fading, self.network.num_pilots, generator(self.seed, "radio", "pilots"))
        gains = uplink_gains(fading, pilots, self.network)
        if (deaf := gains.signal <= 0).any():
            msg = (
                f"no access point hears client {clients[int(deaf.argmax())]} ({deaf.sum()} of the {len(clients)} that "
                "upload): its upload would never end; expected gains, powers and distances that let it be heard"
            )
            raise ConfigError(msg)
        return gains

    def download(self, client: int, time_s: float, num_bytes: int) -> Phase:
        """Price a download: its size through the rate, at constant power; nothing if downloads are not counted."""
        rate = self.network.downlink_rate_bit_s
        download_s = 8 * num_bytes / rate if rate else 0.0
        return Phase(time_s=download_s, energy_j=self.network.downlink_power_w * download_s)

    def grants(self, time_s: float, uploads: Sequence[Upload]) -> list[Grant]:
        """Allocate power to all ``uploads``, in whatever order; one that is done gets nothing.

        Raises
        ------
        ConfigError
            If no access point hears one of the users.
        InfeasibleError
            If no powers keep the budgets of a round.
        """
        asking = sorted((upload for upload in uploads if upload.bits_left > 0), key=lambda upload: upload.client)
        if not asking:
            return [_NOTHING] * len(uploads)
        clients = tuple(upload.client for upload in asking)
        of_these = Uploads(
            gains=_gains(self, clients, time_s if self.network.speed_m_s else 0.0),
            payload_bits=np.array([max(upload.bits_left, _LEAST_BITS) for upload in asking]),
            computation_s=np.array([max(0.0, upload.start_s - time_s) for upload in asking]),
        )
        found = self.allocate(of_these)
        power_w, certified = self.network.max_power_w * found.power, bool(found.converged)
        granted = {
            client: Grant(rate_bit_s=rate, power_w=power, certified=certified)
            for client, rate, power in zip(clients, found.rate_bit_s.tolist(), power_w.tolist(), strict=True)
        }
        return [granted.get(upload.client, _NOTHING) for upload in uploads]

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
            return max_sum_rate(uploads.gains, generator(self.seed, "radio", "starts"))
        return full_power(uploads.gains)


@lru_cache(maxsize=4096)
def _user(radio: CellFreeRadio, client: int) -> tuple[StraightLines, Array]:
    """Return where a user goes, and its shadowing [dB], ``(1, num_aps)``."""
    network, rng = radio.network, generator(radio.seed, "radio", "user", client)
    return straight_lines(network, 1, network.speed_m_s, rng), draw_shadowing_db(network, (1, network.num_aps), rng)


@lru_cache(maxsize=256)
def _users(radio: CellFreeRadio, clients: tuple[int, ...]) -> tuple[StraightLines, Array]:
    if not clients:
        raise ConfigError("zero users: expected at least one who uploads")
    lines, shadowing_db = zip(*(_user(radio, client) for client in clients), strict=True)
    start_m = np.concatenate([line.start_m for line in lines])
    velocity_m_s = np.concatenate([line.velocity_m_s for line in lines])
    return StraightLines(start_m=start_m, velocity_m_s=velocity_m_s), np.concatenate(shadowing_db)


@lru_cache(maxsize=256)
def _gains(radio: CellFreeRadio, clients: tuple[int, ...], time_s: float) -> UplinkGains:
    return radio.gains(clients, time_s)
