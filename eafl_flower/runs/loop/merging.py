"""How a job ends: its update is merged or refused, it fails, or its client is gone; each is booked and told."""

from typing import Any

from flwr.app import Message

from eafl_flower.aggregation.acceptance import accept
from eafl_flower.core.excerpt import excerpt
from eafl_flower.core.orders import End
from eafl_flower.errors import CodecError, EAFLError, ProtocolError, UpdateRefusedError
from eafl_flower.runs.changed_updates import tell_changes
from eafl_flower.runs.jobs import Job
from eafl_flower.runs.state import Run
from eafl_flower.types import Arrays, Diagnostics, Merged, layout_of
from eafl_flower.wire.exchange import check_message
from eafl_flower.wire.records import NUM_EXAMPLES
from eafl_flower.wire.replies import MOST_WORDS, is_out_of_step, reason_of, state_was_lost
from eafl_flower.wire.reported import coding_of
from eafl_flower.wire.unregistered import advice

NOT_YET: Diagnostics = ()  # before a barrier is reached


def note_reply(run: Run, job: Job, reply: Message) -> None:
    """Note that the reply of ``job`` is in: it says how long its upload is, and whether a state was lost."""
    run.jobs.note_reply(job, reply)
    if state_was_lost(reply.content):
        run.note_lost_state(job.client, job.load)


def merge(run: Run, job: Job, reply: Message, *, now_s: float, until_s: float, **further: Any) -> bool:
    """Take in the reply of ``job``, which arrives at ``now_s`` and is charged until ``until_s``; False if refused.

    The event of the merge has the fields ``further``, too.
    """
    jobs, number, server_round, told = run.jobs, run.version + 1, run.server_round, NOT_YET
    model, state = run.models[job.order.model], run.states[job.order.model]
    before = int(state.version)
    try:
        expected = run.expected(job.order)
        update, metrics, decoder = jobs.receive(job, reply.content, in_flight=run.in_flight, expected=expected)
        if expected is not None:
            check_message(run.aggregator, state, update, expected[1])
        elif run.plan.barrier:
            accept(run.aggregator.arrays(state, job.order), update, version=before)
        if not run.plan.barrier:
            told = run.apply([update])
    except (ProtocolError, CodecError, UpdateRefusedError) as error:
        _refuse(run, job, reply, error, now_s=now_s, until_s=until_s)
        return False
    if run.plan.barrier:
        run.pending.append(update)
    if not jobs.members[job.client].counted and run.options.weighted_by_key == NUM_EXAMPLES:
        jobs.claims.learn(jobs.table, job.client, update.num_examples / job.order.share)
    coding = coding_of(reply.content, layout_of(update.delta), f"the reply of client {job.client}", jobs.notes)
    jobs.merged(job, decoder)
    jobs.table.failures[job.client] = 0
    run.tally.merged()
    raw = {"raw_bytes": model.raw_bytes}
    if expected is not None:  # sizes of what goes up and of what goes down have nothing to do with each other
        raw = {"raw_bytes": _size(update.delta), "raw_downlink_bytes": _size(jobs.base_of(job).arrays)}
    merged = told[0] if told else None
    if merged is not None:
        tell_changes(jobs.notes, job.client, merged, ends_first_round=run.version == run.pace.round_size)
    spent = jobs.close(job, until_s)
    known = {"server_round": server_round, "num_examples": update.num_examples, "metrics": metrics, **spent.known()}
    run.learn(job, "merged", now_s, staleness=before - job.base_version, **known)
    run.train_metrics.note(metrics, update.num_examples)
    run.progress.merged(before - job.base_version)
    run.explosion.note(number, merged.norm if merged else None, metrics)
    event = run.emit(
        "merge",
        merge=number,
        **run.where(job, now_s),
        wall_s=run.wall_s(),
        base_version=job.base_version,
        staleness=before - job.base_version,
        **_fields(merged),
        num_examples=update.num_examples,
        **raw,
        **spent.fields(),
        **(coding.fields() if coding is not None else {}),
        metrics=dict(metrics),
        **({"epochs": epochs} if (epochs := job.order.epochs_made(metrics.get("epochs"))) else {}),
        **({"model": model.name} if model.name else {}),
        **further,
    )
    _close_unit(run)
    if run.options.on_merge is not None:
        run.options.on_merge(number, event)
    return True


def flush_barrier(run: Run) -> None:
    """Merge the updates of a finished round, if any came; their order does not depend on who was first."""
    pending, run.pending = sorted(run.pending, key=lambda u: u.client), []
    for name in run.models.names:
        updates = [update for update in pending if update.order.model == name]
        told = run.apply(updates) if updates else NOT_YET
        for update, merged in zip(updates, told, strict=False):  # nothing may have been told
            tell_changes(run.jobs.notes, update.client, merged)
    if pending:
        run.tally.rounds += 1
        _close_unit(run)


def fail(run: Run, job: Job, reply: Message | None, *, now_s: float, until_s: float) -> None:
    """End ``job``, which has led to an error; raise ``RunFailedError`` if the error budget is spent."""
    wire = run.jobs.wires.get(job.client)
    reason = reason_of(reply) if wire is not None and wire.message_id else "its node is not there"
    reason += advice(reason)
    run.tally.errors += 1
    end(run, job, "error", now_s=now_s, until_s=until_s, reason=reason)
    _count_failure(run, job.client, reason)


def end(run: Run, job: Job, outcome: End, *, now_s: float, until_s: float, **fields: Any) -> None:
    """End ``job`` without an update: book what it spent until ``until_s``, and tell.

    Raises
    ------
    RunFailedError
        If no job has led to an update for very long.
    """
    spent = run.jobs.close(job, until_s)
    run.learn(job, outcome, now_s, **spent.known())
    run.emit(outcome, **run.where(job, now_s), **spent.fields(), **fields)
    run.tally.ended(job.client, outcome, in_flight=run.in_flight)


def _refuse(run: Run, job: Job, reply: Message, error: EAFLError, *, now_s: float, until_s: float) -> None:
    """End ``job`` without its update; its client continues from its previous state: head and shared arrays match.

    A client that lost what its arrays build on did nothing wrong: it gets whole arrays at once. One whose payload
    cannot be decoded may remember other uploads than the server, and would be refused for ever: its stream
    starts afresh.
    """
    jobs, reason = run.jobs, excerpt(str(error), MOST_WORDS)
    run.tally.refused += 1
    if is_out_of_step(job.onto, reply.content):
        jobs.forget(job)
        end(run, job, "refused", now_s=now_s, until_s=until_s, reason=reason)
        return
    jobs.table.state[job.client] = job.load
    if isinstance(error, CodecError):
        jobs.side_of(job).restart(job.client)
    end(run, job, "refused", now_s=now_s, until_s=until_s, reason=reason)
    _count_failure(run, job.client, reason)


def _count_failure(run: Run, client: int, reason: str) -> None:
    run.jobs.table.failures[client] += 1
    run.tally.failed(client, reason, budget=run.options.error_budget)


def _close_unit(run: Run) -> None:
    """Aggregate what clients reported of their training, if a unit has just been done."""
    if run.count > run.train_metrics.closed:
        run.progress.trained(run.train_metrics.close(run.count) or {})


def _fields(merged: Merged | None) -> dict[str, float | None]:
    """Return how an update was merged as fields of an event; before a barrier is reached nobody knows."""
    if merged is None:
        return {"weight": None}
    known: dict[str, float | None] = {"weight": float(merged.weight)}
    if merged.scale < 1:
        known["scale"] = float(merged.scale)
    if merged.objective_after is not None:
        known |= {"objective_before": merged.objective_before, "objective_after": merged.objective_after}
    return known


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays)
