"""What a job has cost by the time it ended: joules, seconds and bytes, in both directions."""

from dataclasses import dataclass
from typing import Any

from eafl_flower.energy.ledger import Ledger
from eafl_flower.radio.constant_rate import Network
from eafl_flower.runs.jobs import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What one job has cost: energy [J], and bytes that went over the air in both directions."""

    energy_j: float
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
            "uplink_bytes": self.uplink_bytes,
            "uplink_framed_bytes": self.uplink_framed_bytes,
            "downlink_bytes": self.downlink_bytes,
            "downlink_framed_bytes": self.downlink_framed_bytes,
        }


def book_job(ledger: Ledger, network: Network, job: Job, until_s: float) -> Spent:
    """Book what ``job`` spent until then; of a transfer that was cut short, the share that had been made."""
    charge = network.energy_until(job.price, until_s)
    start, upload = job.price.start, job.price.upload
    down = _share(charge.download_s, start.download_s)
    up = 0.0 if upload is None else _share(charge.upload_s, upload.upload_s)
    spent = Spent(
        energy_j=charge.energy_j,
        uplink_bytes=int(up * job.uplink_bytes),
        uplink_framed_bytes=int(up * job.uplink_framed_bytes),
        downlink_bytes=int(down * job.downlink_bytes),
        downlink_framed_bytes=int(down * job.downlink_framed_bytes),
    )
    ledger.book(
        job.client,
        "downlink",
        energy_j=charge.download_energy_j,
        time_s=charge.download_s,
        payload_bytes=spent.downlink_bytes,
        framed_bytes=spent.downlink_framed_bytes,
    )
    ledger.book(job.client, "compute", energy_j=charge.compute_energy_j, time_s=charge.compute_s)
    ledger.book(
        job.client,
        "uplink",
        energy_j=charge.upload_energy_j,
        time_s=charge.upload_s,
        payload_bytes=spent.uplink_bytes,
        framed_bytes=spent.uplink_framed_bytes,
    )
    return spent


def book_late(ledger: Ledger, network: Network, job: Job) -> Spent:
    """Book the upload of a ``job`` that had been given up, and booked: its reply came whole, for nothing."""
    upload = network.upload(job.client, job.uplink_bytes)
    ledger.book(
        job.client,
        "uplink",
        energy_j=upload.energy_j,
        time_s=upload.upload_s,
        payload_bytes=job.uplink_bytes,
        framed_bytes=job.uplink_framed_bytes,
    )
    return Spent(
        energy_j=upload.energy_j,
        uplink_bytes=job.uplink_bytes,
        uplink_framed_bytes=job.uplink_framed_bytes,
        downlink_bytes=0,
        downlink_framed_bytes=0,
    )


def _share(part: float, whole: float) -> float:
    return 1.0 if whole <= 0 else min(1.0, part / whole)
