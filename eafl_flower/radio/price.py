"""A job on the time line: it downloads, then computes, then uploads, in seconds and joules."""

import math
from dataclasses import dataclass

from eafl_flower.radio.transfers import Transfer
from eafl_flower.types import Phase


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What a job has spent so far, phase by phase, and the shares of its payloads that have gone over the air."""

    download: Phase
    compute: Phase
    upload: Phase
    downloaded: float
    uploaded: float

    @property
    def energy_j(self) -> float:
        """All phases together [J]."""
        return self.download.energy_j + self.compute.energy_j + self.upload.energy_j


@dataclass(frozen=True, kw_only=True)
class JobPrice:
    """A job dispatched at ``dispatched_s``; ``upload`` is None until its reply is in."""

    dispatched_s: float
    download: Phase
    compute: Phase
    upload: Transfer | None = None

    @property
    def download_end_s(self) -> float:
        """When the client has everything it was sent [s]: rounded up, so that until then the download is whole."""
        return math.nextafter(self.dispatched_s + self.download.time_s, math.inf)

    @property
    def upload_start_s(self) -> float:
        """When the client has computed and its upload starts [s]."""
        return self.dispatched_s + (self.download.time_s + self.compute.time_s)

    @property
    def arrival_s(self) -> float:
        """When the upload is done, should its grant stay [s].

        Raises
        ------
        ValueError
            If the reply is not in yet.
        """
        if self.upload is None:
            msg = "the arrival of a job is not known before its reply is in: set upload first"
            raise ValueError(msg)
        return self.upload.end_s

    def until(self, time_s: float) -> Charge:
        """Return what the job has spent up to ``time_s`` [s].

        A phase at constant power that ``time_s`` cuts short is charged in proportion, a phase it does not reach not at
        all. An upload that is not known yet is not charged: nothing of it has been sent.
        """
        elapsed_s = time_s - self.dispatched_s
        # reached: the phase counts in full even if its time, lost in the sum's rounding, seems to miss by a hair
        computed = time_s >= self.upload_start_s
        download, downloaded = _part(self.download, elapsed_s, computed)
        elapsed_s -= self.download.time_s
        compute, _ = _part(self.compute, elapsed_s, computed)
        elapsed_s -= self.compute.time_s
        upload, uploaded = Phase(time_s=0.0, energy_j=0.0), 0.0
        if self.upload is not None:
            upload, uploaded = self.upload.spent(elapsed_s, done=time_s >= self.arrival_s)
        return Charge(download=download, compute=compute, upload=upload, downloaded=downloaded, uploaded=uploaded)


def _part(phase: Phase, elapsed_s: float, done: bool) -> tuple[Phase, float]:
    """Return what of a phase has been done after ``elapsed_s``, and its share."""
    if done or (elapsed_s > 0 and elapsed_s >= phase.time_s):
        return phase, 1.0
    if elapsed_s <= 0:
        return Phase(time_s=0.0, energy_j=0.0), float(elapsed_s == 0 and not phase.time_s)
    return Phase(time_s=elapsed_s, energy_j=phase.energy_j * elapsed_s / phase.time_s), elapsed_s / phase.time_s
