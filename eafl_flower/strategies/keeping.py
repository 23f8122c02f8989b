"""A run as a value: what a checkpoint holds of it, and how it is taken up again."""

import time
from typing import TYPE_CHECKING

from flwr.app import MetricRecord

from eafl_flower.errors import CheckpointError
from eafl_flower.strategies.checkpoint import read_checkpoint
from eafl_flower.strategies.snapshot import ANY_UPDATE, Snapshot
from eafl_flower.types import layout_of

if TYPE_CHECKING:
    from eafl_flower.strategies.run import FederatedRun


def snapshot_of(run: "FederatedRun", *, template: bool = False) -> Snapshot:
    """Return the state of ``run``; as a ``template`` it has one element of everything, which tells the classes."""
    options, jobs = run.options, run.jobs
    return Snapshot(
        run_name=options.run_name,
        seed=options.seed,
        codec=_codec_name(run),
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
        num_selections=jobs.num_selections,
        num_events=run.num_events,
        settled=run.settled,
        stop_reason=run.stop_reason,
        wall_s=run.wall_s(),
        secret=jobs.secret.hex(),
    )


def take_up(run: "FederatedRun") -> None:
    """Replace the fresh state of ``run`` by that of its checkpoint.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be read, or belongs to another run or model.
    """
    path, options, jobs = run.options.checkpoint, run.options, run.jobs
    assert path is not None
    stored = read_checkpoint(path, snapshot_of(run, template=True))
    stored.check_belongs(path, options.run_name, options.seed, _codec_name(run))
    if layout_of(run.aggregator.arrays(stored.aggregator)) != run.layout:
        msg = f"checkpoint {path} holds a model with other arrays than the one to be trained"
        raise CheckpointError(msg)
    run.state, run.tally = stored.aggregator, stored.tally
    jobs.table, jobs.ledger, jobs.num_selections = stored.table, stored.ledger, stored.num_selections
    jobs.table.grow(max(jobs.members) + 1)
    run.pending = list(stored.pending)
    run.client_scores, run.server_scores = dict(stored.client_scores), dict(stored.server_scores)
    for scores, records in (
        (run.client_scores, run.result.evaluate_metrics_clientapp),
        (run.server_scores, run.result.evaluate_metrics_serverapp),
    ):
        records.update({merge: MetricRecord(dict(values)) for merge, values in scores.items()})
    run.num_events, run.settled, run.stop_reason = stored.num_events, stored.settled, stored.stop_reason
    run.began_s = time.monotonic() - stored.wall_s
    # A run with a key of its users' had no secret; open jobs are sent again, with keys of the fresh one.
    jobs.secret = bytes.fromhex(stored.secret) or jobs.secret
    jobs.restore(stored.jobs)
    run.restore_clock(stored)


def _codec_name(run: "FederatedRun") -> str:
    return "none" if run.options.codec is None else type(run.options.codec).__name__
