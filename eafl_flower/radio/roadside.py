r"""Roadside units and vehicles as the radio of a run: who is served, from where the vehicle is, with fading.

.. math:: R = B\log_2\Bigl(1 + \frac{P\,g(d)\,10^{F/10}\,h}{\sigma^2}\Bigr), \qquad R = 0 \text{ if below } R_0

with path loss :math:`g` of two slopes (`two_slope`), shadowing :math:`F` that is alike at places near each other
(`shadowing`), and Rayleigh fading :math:`h`, one draw for each client and slot of time in which a transfer begins
(`rayleigh`). A transfer keeps the rate that it begins with. Each vehicle has a channel to itself: transfers do not
disturb each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from eafl_flower.core.rng import generator
from eafl_flower.core.settings import NotNegative, Positive, Range, check_settings
from eafl_flower.mobility.coverage import Coverage
from eafl_flower.mobility.service import NOBODY
from eafl_flower.mobility.traces import Array, Integers, Vehicles
from eafl_flower.radio.decibel import from_dbm
from eafl_flower.radio.rayleigh import mean_rate_bit_s, rate_bit_s
from eafl_flower.radio.shadowing import shadowing_db
from eafl_flower.radio.two_slope import TwoSlope, two_slope_gain
from eafl_flower.types import Grant, Phase, Upload

Link = Literal["up", "down"]


@dataclass(frozen=True, kw_only=True)
class Roadside(TwoSlope):
    r"""Settings of the radio; those of the path loss are inherited.

    Parameters
    ----------
    bandwidth_hz
        Bandwidth :math:`B` of a vehicle's channel [Hz].
    unit_power_w, vehicle_power_w
        Power of a unit that sends to a vehicle, and of a vehicle that sends [W].
    receive_power_w
        Power that a vehicle takes to receive [W].
    charge_downlink
        What a download is charged with: ``"receive"``, the vehicle's power to receive, or ``"transmit"``, the unit's
        power to send.
    noise_dbm
        Noise over the band [dBm], with the receiver's noise figure; as it is by default: -174 dBm/Hz in 2 MHz and 9 dB.
    shadowing_db, correlation_m
        Standard deviation [dB] of the shadowing, and the distance at which its correlation is 1/e [m].
    fading
        ``"rayleigh"``, or ``"none"``: :math:`h = 1`.
    fading_slot_s
        Transfers of a client that begin in the same slot have the same fading [s].
    least_rate_bit_s
        Rate :math:`R_0` below which nothing arrives [bit/s].

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    bandwidth_hz: Positive = 2e6
    unit_power_w: Annotated[float, Range(1e-9, 1e6)] = 2.0
    vehicle_power_w: Annotated[float, Range(1e-9, 1e6)] = 1.0
    receive_power_w: NotNegative = 0.5
    charge_downlink: Literal["receive", "transmit"] = "receive"
    noise_dbm: Annotated[float, Range(-250, 100)] = -102.0
    shadowing_db: Annotated[float, Range(0, 40)] = 4.0
    correlation_m: Positive = 25.0
    fading: Literal["rayleigh", "none"] = "rayleigh"
    fading_slot_s: Positive = 1.0
    least_rate_bit_s: NotNegative = 1e5

    def __post_init__(self) -> None:
        check_settings(self)

    def power_w(self, link: Link) -> float:
        """Return the power of who sends [W]."""
        return self.vehicle_power_w if link == "up" else self.unit_power_w

    @property
    def noise_w(self) -> float:
        """Noise over the band [W]."""
        return from_dbm(self.noise_dbm)


@dataclass(frozen=True)
class RoadsideRadio:
    """The radio of a run: client k is vehicle k of the coverage; whom nobody serves has rate 0.

    Parameters
    ----------
    settings
        Settings.
    coverage
        Where vehicles are, and who serves them.
    seed
        Seed of shadowing and fading.
    """

    coupled: ClassVar = False

    settings: Roadside
    coverage: Coverage
    seed: int

    def download(self, client: int, time_s: float, num_bytes: int) -> Phase:
        """Price a download that begins at ``time_s``; where nothing arrives it lasts for ever and takes no energy."""
        settings = self.settings
        rate = self._rate_bit_s(client, time_s, "down")
        if not num_bytes or not rate:
            return Phase(time_s=math.inf if num_bytes else 0.0, energy_j=0.0)
        download_s = 8 * num_bytes / rate
        power_w = settings.receive_power_w if settings.charge_downlink == "receive" else settings.unit_power_w
        return Phase(time_s=download_s, energy_j=power_w * download_s)

    def grants(self, time_s: float, uploads: Sequence[Upload]) -> list[Grant]:
        """Return for each upload the rate from where its vehicle is when it begins; no power at rate 0."""
        rates = [self._rate_bit_s(upload.client, max(time_s, upload.start_s), "up") for upload in uploads]
        return [Grant(rate_bit_s=rate, power_w=self.settings.vehicle_power_w if rate else 0.0) for rate in rates]

    def mean_snr(self, time_s: ArrayLike, vehicles: Vehicles = None, link: Link = "up") -> Array:
        """Return the signal-to-noise ratio without fading, linear, ``(n,)``: 0 for whom nobody serves.

        Parameters
        ----------
        time_s
            One time for all [s], or one for each vehicle, ``(n,)``.
        vehicles
            Numbers of vehicles, ``(n,)``; all if not given.
        link
            ``"up"`` or ``"down"``.
        """
        place_m, _ = self.coverage.position(time_s, vehicles)
        unit = self.coverage.serving(time_s, vehicles)
        return snr_at(self.settings, self.seed, place_m, self.coverage.units_m, unit, link)

    def mean_rate_bit_s(self, time_s: ArrayLike, vehicles: Vehicles = None, link: Link = "up") -> Array:
        """Return the mean rate over the fading, outages included [bit/s], ``(n,)``; arguments as `mean_snr`."""
        settings = self.settings
        snr = self.mean_snr(time_s, vehicles, link)
        mean = rate_bit_s if settings.fading == "none" else mean_rate_bit_s
        return mean(snr, settings.bandwidth_hz, settings.least_rate_bit_s)

    def fading(self, client: int, time_s: float) -> float:
        """Return the fading of a client in the slot of ``time_s``, a power gain of mean 1."""
        if self.settings.fading == "none":
            return 1.0
        slot = math.floor(time_s / self.settings.fading_slot_s)
        return float(generator(self.seed, "radio", "fading", client, slot).standard_exponential())

    def _rate_bit_s(self, client: int, time_s: float, link: Link) -> float:
        snr = self.mean_snr(time_s, [client], link)
        faded = snr * self.fading(client, time_s) if snr[0] else snr
        return float(rate_bit_s(faded, self.settings.bandwidth_hz, self.settings.least_rate_bit_s)[0])


def snr_at(settings: Roadside, seed: int, places_m: Array, units_m: Array, units: Integers, link: Link = "up") -> Array:
    """Return the signal-to-noise ratio without fading between places and the unit of each, linear, ``(n,)``.

    Parameters
    ----------
    settings
        The radio.
    seed
        Seed of the shadowing.
    places_m
        Where vehicles are [m], ``(n, 2)``.
    units_m
        Where units are [m], ``(num_units, 2)``.
    units
        Number of each vehicle's unit, ``(n,)``; -1: none, and the ratio is 0.
    link
        Who sends: ``"up"`` the vehicle, ``"down"`` the unit.
    """
    result, heard = np.zeros(len(units)), units != NOBODY
    there_m, unit = places_m[heard], units[heard]
    offset_m = there_m - units_m[unit]
    shadow_db = shadowing_db(seed, there_m, unit, settings.shadowing_db, settings.correlation_m)
    gain = two_slope_gain(settings, np.hypot(offset_m[:, 0], offset_m[:, 1]), shadow_db)
    result[heard] = settings.power_w(link) * gain / settings.noise_w
    return result
