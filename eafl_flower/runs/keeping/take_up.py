"""A run as a value: what a checkpoint holds of it, and how it is taken up again."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from flwr.app import MetricRecord

from eafl_flower.errors import CheckpointError
from eafl_flower.runs.keeping.checkpoint import open_checkpoint
from eafl_flower.runs.keeping.origin import NO_ORIGIN, origin_of
from eafl_flower.runs.keeping.snapshot import ANY_UPDATE, Snapshot
from eafl_flower.types import layout_of

if TYPE_CHECKING:
    from eafl_flower.runs.loop.run import FederatedRun


def snapshot_of(run: "FederatedRun", *, template: bool = False) -> Snapshot:
    """Return the state of ``run``; as a ``template`` it has one element of everything, which tells the classes."""
    options, jobs = run.options, run.jobs
    return Snapshot(
        origin=origin_of(run, in_flight=run.in_flight),
        aggregator=run.state,
        tally=run.tally,
        table=jobs.table,
        ledger=jobs.ledger,
        jobs=jobs.template() if template else jobs.snapshot(),
        queue=run.queue_snapshot(),
        idle=tuple(jobs.idle.clients),
        away=run.clients_away(),
        pending=(ANY_UPDATE,) if template else tuple(run.pending),
        client_scores=run.client_scores,
        server_scores=run.server_scores,
        unit=options.unit,
        round_size=run.pace.round_size,
        # Of a run that counts merges they are only the newest of many, all of which are in the event log.
        train_records={n: dict(r) for n, r in run.train_metrics.records.items()} if options.unit == "rounds" else {},
        train_pending=tuple(run.train_metrics.pending),
        num_selections=jobs.num_selections,
        num_events=run.num_events,
        settled=run.settled,
        evaluated=run.evaluated,
        stop_reason=run.stop_reason,
        wall_s=run.wall_s(),
        secret=jobs.wire.secret.hex(),
    )


def take_up(run: "FederatedRun") -> None:
    """Replace the fresh state of ``run`` by that of its checkpoint.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be read, or belongs to another run or model.
    """
    path, jobs = run.options.checkpoint, run.jobs
    assert path is not None
    opened = open_checkpoint(path)
    origin = opened.restore_field("origin", NO_ORIGIN)  # first, because another aggregator has another state
    origin.check(path, origin_of(run, in_flight=origin.in_flight))
    stored = opened.restore(snapshot_of(run, template=True))
    if layout_of(run.aggregator.arrays(stored.aggregator)) != run.layout:
        msg = f"checkpoint {path} holds a model with other arrays than the one to be trained"
        raise CheckpointError(msg)
    pace, planned = replace(run.pace, round_size=stored.round_size), run.plan.num_rounds
    if (done := pace.done(merges=stored.aggregator.version, updates=stored.tally.updates)) > planned:
        msg = f"checkpoint {path} holds {done} {run.options.unit}: expected at most the {planned} "
        raise CheckpointError(f"{msg}that the run is to make; ask for more, or start it afresh")
    run.state, run.tally = stored.aggregator, stored.tally
    run.pace = pace
    jobs.table, jobs.ledger, jobs.num_selections = stored.table, stored.ledger, stored.num_selections
    jobs.table.grow(max(jobs.members) + 1)
    run.pending = list(stored.pending)
    run.client_scores, run.server_scores = dict(stored.client_scores), dict(stored.server_scores)
    for scores, records in (
        (run.client_scores, run.result.evaluate_metrics_clientapp),
        (run.server_scores, run.result.evaluate_metrics_serverapp),
    ):
        records.update({merge: MetricRecord(dict(values)) for merge, values in scores.items()})
    metrics = run.train_metrics
    metrics.records.update({number: MetricRecord(dict(values)) for number, values in stored.train_records.items()})
    metrics.pending, metrics.closed = list(stored.train_pending), run.count
    run.num_events, run.settled, run.evaluated = stored.num_events, stored.settled, stored.evaluated
    run.stop_reason = stored.stop_reason
    run.began_s = time.monotonic() - stored.wall_s
    # A run with a key of its users' had no secret; open jobs are sent again, with keys of the fresh one.
    jobs.wire.secret = bytes.fromhex(stored.secret) or jobs.wire.secret
    jobs.restore(stored.jobs)
    run.restore_clock(stored)
