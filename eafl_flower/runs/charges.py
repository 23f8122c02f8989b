"""What a job has cost by the time it ended: joules, seconds and bytes, in both directions."""

import math
from dataclasses import dataclass
from typing import Any

from eafl_flower.energy.ledger import Ledger
from eafl_flower.runs.jobs import Job
from eafl_flower.types import Phase


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What one job has cost: energy [J], bytes that went over the air in both directions, and what its upload took."""

    energy_j: float
    upload: Phase
    uplink_bytes: int
    uplink_framed_bytes: int
    downlink_bytes: int
    downlink_framed_bytes: int

    def known(self) -> dict[str, Any]:
        """Return what a scheduler learns of it."""
        return {"energy_j": self.energy_j, "uplink_bytes": self.uplink_bytes, "downlink_bytes": self.downlink_bytes}

    def fields(self) -> dict[str, Any]:
        """Return the fields of an event."""
        return {
            "energy_j": self.energy_j,
            "uplink_energy_j": self.upload.energy_j,
            "uplink_time_s": self.upload.time_s,
            "uplink_bytes": self.uplink_bytes,
            "uplink_framed_bytes": self.uplink_framed_bytes,
            "downlink_bytes": self.downlink_bytes,
            "downlink_framed_bytes": self.downlink_framed_bytes,
        }


def book_job(ledger: Ledger, job: Job, until_s: float) -> Spent:
    """Book what ``job`` spent until then; of a transfer that was cut short, the share that had been made."""
    charge = job.price.until(until_s)
    spent = Spent(
        energy_j=charge.energy_j,
        upload=charge.upload,
        uplink_bytes=int(charge.uploaded * job.uplink_bytes),
        uplink_framed_bytes=int(charge.uploaded * job.uplink_framed_bytes),
        downlink_bytes=int(charge.downloaded * job.downlink_bytes),
        downlink_framed_bytes=int(charge.downloaded * job.downlink_framed_bytes),
    )
    ledger.book(
        job.client,
        "downlink",
        energy_j=charge.download.energy_j,
        time_s=charge.download.time_s,
        payload_bytes=spent.downlink_bytes,
        framed_bytes=spent.downlink_framed_bytes,
    )
    ledger.book(job.client, "compute", energy_j=charge.compute.energy_j, time_s=charge.compute.time_s)
    _book_upload(ledger, job.client, spent)
    return spent


def book_late(ledger: Ledger, job: Job) -> Spent:
    """Book the upload of a ``job`` that had been given up, and booked: its reply came whole, for nothing."""
    upload = job.price.until(math.inf).upload
    spent = Spent(
        energy_j=upload.energy_j,
        upload=upload,
        uplink_bytes=job.uplink_bytes,
        uplink_framed_bytes=job.uplink_framed_bytes,
        downlink_bytes=0,
        downlink_framed_bytes=0,
    )
    _book_upload(ledger, job.client, spent)
    return spent


def _book_upload(ledger: Ledger, client: int, spent: Spent) -> None:
    ledger.book(
        client,
        "uplink",
        energy_j=spent.upload.energy_j,
        time_s=spent.upload.time_s,
        payload_bytes=spent.uplink_bytes,
        framed_bytes=spent.uplink_framed_bytes,
    )
