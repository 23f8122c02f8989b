"""What a job takes: seconds and joules of its download, its computation and its upload."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

from eafl_flower.core.settings import NotNegative, Positive, check_settings
from eafl_flower.energy.model import transmission_time_s
from eafl_flower.errors import ConfigError
from eafl_flower.protocols import EnergyModel
from eafl_flower.types import Link, Work


@dataclass(frozen=True, kw_only=True)
class StartPrice:
    """What is known at dispatch: times [s] and energies [J] up to the upload's start."""

    download_s: float
    compute_s: float
    download_energy_j: float
    compute_energy_j: float


@dataclass(frozen=True, kw_only=True)
class UploadPrice:
    """What is known when the client has answered: time [s] and energy [J] of its upload."""

    upload_s: float
    energy_j: float


@dataclass(frozen=True, kw_only=True)
class JobPrice:
    """A job on the time line: dispatched at ``dispatched_s``; ``upload`` is None until its reply is in."""

    dispatched_s: float
    start: StartPrice
    upload: UploadPrice | None = None

    @property
    def download_end_s(self) -> float:
        """When the client has everything it was sent [s]: rounded up, so that until then the download is whole."""
        return math.nextafter(self.dispatched_s + self.start.download_s, math.inf)

    @property
    def upload_start_s(self) -> float:
        """When the client has computed and its upload starts [s]."""
        return self.dispatched_s + (self.start.download_s + self.start.compute_s)

    @property
    def arrival_s(self) -> float:
        """When the upload is done [s].

        Raises
        ------
        ValueError
            If the reply is not in yet.
        """
        if self.upload is None:
            msg = "the arrival of a job is not known before its reply is in: set upload first"
            raise ValueError(msg)
        return self.upload_start_s + self.upload.upload_s


@dataclass(frozen=True, kw_only=True)
class Charge:
    """Time [s] and energy [J] that a job has spent so far, phase by phase."""

    download_s: float
    compute_s: float
    upload_s: float
    download_energy_j: float
    compute_energy_j: float
    upload_energy_j: float

    @property
    def energy_j(self) -> float:
        """All phases together [J]."""
        return self.download_energy_j + self.compute_energy_j + self.upload_energy_j


class Network(Protocol):
    """Prices jobs: the seam at which a radio model takes the place of constant rates."""

    def start(self, client: int, work: Work, downlink_bytes: int) -> StartPrice:
        """Price download and computation of a job."""

    def upload(self, client: int, uplink_bytes: int) -> UploadPrice:
        """Price the upload of a reply."""

    def energy_until(self, job: JobPrice, time_s: float) -> Charge:
        """Return what ``job`` has spent up to ``time_s``."""


@dataclass(frozen=True, kw_only=True)
class ConstantRateNetwork:
    """One link for all clients; they differ in the speed of their processors.

    Parameters
    ----------
    link
        Rates and powers of both directions.
    energy
        Prices computation and radio.
    slowdown
        Slowdown of the clients' processors, cycled over the clients; multiplies ``work.slowdown``.

    Raises
    ------
    ConfigError
        If there is no slowdown or one is not positive, a rate is not positive or a power negative.
    """

    link: Link
    energy: EnergyModel
    slowdown: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        wrong = [
            f"link.{name} = {getattr(self.link, name)}: expected a positive number"
            for name in ("uplink_rate_bit_s", "downlink_rate_bit_s")
            if not 0 < getattr(self.link, name) < float("inf")
        ]
        wrong += [
            f"link.{name} = {getattr(self.link, name)}: expected a number of at least 0"
            for name in ("uplink_power_w", "downlink_power_w")
            if not 0 <= getattr(self.link, name) < float("inf")
        ]
        if not self.slowdown or not all(0 < s < float("inf") for s in self.slowdown):
            wrong.append(f"slowdown = {self.slowdown}: expected at least one positive number, and only such")
        if wrong:
            raise ConfigError("; ".join(wrong))

    def start(self, client: int, work: Work, downlink_bytes: int) -> StartPrice:
        """Price download and computation of a job.

        Parameters
        ----------
        client
            Partition id.
        work
            What the client is to compute.
        downlink_bytes
            Size of the payload it is sent [byte].

        Returns
        -------
        StartPrice
            Seconds and joules up to the upload's start.
        """
        work = replace(work, slowdown=work.slowdown * self.slowdown[client % len(self.slowdown)])
        download_s = transmission_time_s(8 * downlink_bytes, self.link.downlink_rate_bit_s)
        return StartPrice(
            download_s=download_s,
            compute_s=self.energy.compute_time_s(work),
            download_energy_j=self.energy.radio_energy_j(self.link, uplink_s=0.0, downlink_s=download_s),
            compute_energy_j=self.energy.compute_energy_j(work),
        )

    def upload(self, client: int, uplink_bytes: int) -> UploadPrice:
        """Price the upload of a reply of ``uplink_bytes`` [byte]."""
        upload_s = transmission_time_s(8 * uplink_bytes, self.link.uplink_rate_bit_s)
        return UploadPrice(
            upload_s=upload_s, energy_j=self.energy.radio_energy_j(self.link, uplink_s=upload_s, downlink_s=0.0)
        )

    def energy_until(self, job: JobPrice, time_s: float) -> Charge:
        """Return what ``job`` has spent up to ``time_s``.

        First it downloads, then it computes, then it uploads, each at constant power: a phase that
        ``time_s`` cuts short is charged in proportion, a phase it does not reach not at all. An
        upload that is not known yet is not charged: nothing of it has been sent.

        Parameters
        ----------
        job
            The job on the time line.
        time_s
            When it ended, for example because its client vanished or its deadline passed [s].

        Returns
        -------
        Charge
            From zero before the dispatch to the whole price from the arrival on.
        """
        elapsed_s = time_s - job.dispatched_s
        start, upload = job.start, job.upload or UploadPrice(upload_s=0.0, energy_j=0.0)
        # reached: the phase counts in full even if its time, lost in the sum's rounding, seems to miss by a hair
        computed = time_s >= job.upload_start_s
        uploaded = job.upload is not None and time_s >= job.arrival_s
        download_s, download_energy_j = _part(start.download_s, start.download_energy_j, elapsed_s, computed)
        elapsed_s -= start.download_s
        compute_s, compute_energy_j = _part(start.compute_s, start.compute_energy_j, elapsed_s, computed)
        elapsed_s -= start.compute_s
        upload_s, upload_energy_j = _part(upload.upload_s, upload.energy_j, elapsed_s, uploaded)
        return Charge(
            download_s=download_s,
            compute_s=compute_s,
            upload_s=upload_s,
            download_energy_j=download_energy_j,
            compute_energy_j=compute_energy_j,
            upload_energy_j=upload_energy_j,
        )


@dataclass(frozen=True, kw_only=True)
class Processors:
    """What a radio is told of a run: what computing and sending cost, and the slowdown of the clients' processors."""

    energy: EnergyModel
    slowdown: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, kw_only=True)
class ConstantRate:
    """``ConstantRateNetwork`` by its settings: rates [bit/s] and powers [W] of all clients in both directions."""

    uplink_rate_bit_s: Positive = 1e6
    downlink_rate_bit_s: Positive = 5e6
    uplink_power_w: NotNegative = 0.2
    downlink_power_w: NotNegative = 0.1

    def __post_init__(self) -> None:
        check_settings(self)

    def make(self, processors: Processors) -> ConstantRateNetwork:
        """Return the network."""
        return ConstantRateNetwork(link=Link(**vars(self)), energy=processors.energy, slowdown=processors.slowdown)


def _part(phase_s: float, phase_energy_j: float, elapsed_s: float, done: bool) -> tuple[float, float]:
    if done:
        return phase_s, phase_energy_j
    if elapsed_s <= 0:
        return 0.0, 0.0
    if elapsed_s >= phase_s:
        return phase_s, phase_energy_j
    return elapsed_s, phase_energy_j * elapsed_s / phase_s
