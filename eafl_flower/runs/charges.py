"""What a job costs, and has cost by the time it ended: joules, seconds and bytes, in both directions."""

import math
from dataclasses import dataclass, replace
from typing import Any

from flwr.app import RecordDict

from eafl_flower.energy.ledger import Ledger
from eafl_flower.runs.jobs import ClientTable, Job
from eafl_flower.runs.options import RunOptions
from eafl_flower.types import Phase, Work
from eafl_flower.wire.replies import reported


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """What one job has cost: energy [J], ``upload`` its part, and bytes that went over the air in both directions."""

    energy_j: float
    upload: Phase
    uplink_bytes: int
    uplink_framed_bytes: int
    downlink_bytes: int
    downlink_framed_bytes: int

    def known(self) -> dict[str, Any]:
        """Return what a scheduler learns of it."""
        names = ("energy_j", "upload", "uplink_bytes", "downlink_bytes")
        return {name: getattr(self, name) for name in names}

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


def computation(options: RunOptions, table: ClientTable, client: int, epochs: int, rank: int = 0) -> Phase:
    """Return what so many epochs take ``client`` to compute, with adapters of this rank."""
    work = Work(num_examples=max(1, int(table.num_examples[client])), epochs=epochs, rank=rank)
    return options.processors.compute(client, work)


def price_as_made(options: RunOptions, table: ClientTable, job: Job, content: RecordDict) -> None:
    """Price the epochs that the client of ``job`` says in its reply to have made, where its order left that to it."""
    if job.order.stop is not None:
        epochs = job.order.epochs_made(reported(content, "epochs"))
        job.price = replace(job.price, compute=computation(options, table, job.client, epochs, job.order.rank))


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
