"""How uploads share a radio in virtual time: priced when they begin, anew when others do or end, or round by round."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeGuard

from flwr.app import Message

from eafl_flower.errors import InfeasibleError
from eafl_flower.radio.price import JobPrice
from eafl_flower.radio.transfers import Transfer, alone, shared_out, waiting
from eafl_flower.runs.charges import price_as_made
from eafl_flower.runs.jobs import Job
from eafl_flower.runs.state import Run
from eafl_flower.wire.replies import sizes_of


def price_upload(run: Run, job: Job, now_s: float) -> list[Job]:
    """Price the upload of ``job``, which begins now; return the others whose end has moved by it."""
    if run.options.radio.coupled:
        return share_out(run, now_s, job)
    upload = alone(run.options.radio, job.client, job.uplink_bytes, job.price.upload_start_s)
    job.price = replace(job.price, upload=upload)
    return []


def share_out(run: Run, now_s: float, new: Job | None = None) -> list[Job]:
    """Ask a coupled radio about all uploads under way, a ``new`` one among them; return the others that changed."""
    transfers = {job.client: job.price.upload for job in run.jobs if job.price.upload is not None}
    if new is not None:
        transfers[new.client] = waiting(new.uplink_bytes, new.price.upload_start_s)
        new.price = replace(new.price, upload=transfers[new.client])
    changed = []
    for client, transfer in _shared_out(run, transfers, now_s).items():
        job = run.jobs[client]
        job.price = replace(job.price, upload=transfer)
        if job is not new:
            changed.append(job)
    return changed


def share_out_round(run: Run, now_s: float) -> str:
    """Wait for all replies of a round with a barrier, and price all its uploads, each from when it will begin.

    Returns
    -------
    str
        Why the round is not to be made: what it would cost is more than is left of a budget. Then nothing is priced. An
        empty text if it is.
    """
    transfers = {}
    for job in [job for job in run.jobs if job.client in run.jobs.wires and job.price.upload is None]:
        reply = run.jobs.await_reply(job)
        if not uploads(reply):
            continue
        price_as_made(run.options, run.jobs.table, job, reply.content)
        if job.price.upload_start_s <= job.ends_s:
            transfers[job.client] = waiting(sizes_of(reply.content)[0], job.price.upload_start_s)
    began_s = min((job.price.dispatched_s for job in run.jobs), default=now_s)
    try:
        transfers |= _shared_out(run, transfers, began_s)
    except InfeasibleError as error:
        return f"round {run.version + 1} cannot be sent: {error}"
    prices = {
        job.client: replace(job.price, upload=transfers[job.client]) if job.client in transfers else job.price
        for job in run.jobs
    }
    if run.options.stop.within_budget and (reason := _too_much(run, prices)):
        return reason
    for client, price in prices.items():
        run.jobs[client].price = price
    return ""


def uploads(reply: Message | None) -> TypeGuard[Message]:
    """Whether a client that answers so has something to send."""
    return reply is not None and not reply.has_error()


def _shared_out(run: Run, transfers: Mapping[int, Transfer], time_s: float) -> dict[int, Transfer]:
    changed = shared_out(run.options.radio, transfers, time_s)
    if not all(transfer.grant.certified for transfer in changed.values()):
        run.tally.uncertified += 1
        text = (
            f"{type(run.options.radio).__name__} granted powers that are feasible, but not proven to be the best; the "
            "summary says how often"
        )
        run.jobs.notes.mention("uncertified", text)
    return changed


def _too_much(run: Run, prices: Mapping[int, JobPrice]) -> str:
    """Return which budget a round with these prices would exceed."""
    energy_j, num_bytes, end_s = 0.0, 0, 0.0
    for job in run.jobs:
        price = prices[job.client]
        until_s = min(job.ends_s, price.upload_start_s if price.upload is None else price.arrival_s)
        energy_j += price.until(until_s).energy_j
        num_bytes += job.downlink_bytes + (0 if price.upload is None else price.upload.num_bits // 8)
        end_s = max(end_s, until_s)
    return run.options.stop.exceeded(run.ledger, energy_j=energy_j, num_bytes=num_bytes, end_s=end_s)
