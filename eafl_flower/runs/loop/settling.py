"""What is due between two events: evaluation, rules to stop, and the end of a run."""

import math
from logging import INFO, WARNING

from flwr.serverapp.strategy import Result

from eafl_flower.engines.flower_log import log
from eafl_flower.runs.clock import Clock
from eafl_flower.runs.scoring.evaluation import evaluate_on_clients, sample
from eafl_flower.runs.snapshot import Scores
from eafl_flower.runs.state import Run
from eafl_flower.wire.exchange import arrays_for
from eafl_flower.wire.reported import scores_of


def settle(run: Run, clock: Clock) -> bool:
    """Evaluate and look at the rules to stop, each when it is due after a unit; return whether a checkpoint is due."""
    count, options = run.count, run.options
    if count == run.settled:
        if options.stop.has_budget and not (run.plan.barrier and len(run.jobs)):
            run.stop_reason = run.stop_reason or options.stop.spent(run.ledger, clock.now_s())
        return False
    every = options.evaluate_every
    if count and every and count % every == 0:
        evaluate(run, clock)
    elif count == 0 and (options.evaluate_first or options.unit == "rounds"):
        evaluate(run, clock, on_clients=options.evaluate_first)
    run.stop_reason = run.stop_reason or options.stop.spent(run.ledger, clock.now_s())
    run.settled = count
    _tell(run, clock)
    every = options.checkpoint_every
    return bool(count and every and count % every == 0)


def evaluate(run: Run, clock: Clock, *, on_clients: bool = True) -> None:
    """Evaluate the served arrays: centrally, and on the clients."""
    number, plan, options, jobs = run.number, run.plan, run.options, run.jobs
    told = jobs.notes.total
    scores: Scores = {}
    asked = clock.clients_to_evaluate() if on_clients and options.evaluate_clients else ()
    clients = sample(jobs, asked, number)
    if clients:  # first, because the user may interrupt it
        record = evaluate_on_clients(
            jobs,
            clients,
            plan.evaluate_config,
            served=run.served(),
            own=(lambda client, model: arrays_for(run.aggregator, run.states[model], client))
            if jobs.is_personal
            else None,
            note_lost=lambda client: run.note_lost_state(client, int(jobs.table.state[client])),
            server_round=run.pace.evaluation_round(merges=run.version, updates=run.tally.updates),
        )
        if not jobs.never_evaluate.issuperset(clients):
            scores = run.client_scores[number] = scores_of(record)
            run.result.evaluate_metrics_clientapp[number] = record
    if plan.evaluate_fn is not None:
        central = plan.evaluate_fn(number, run.served_record())
        if central is not None:
            run.server_scores[number] = scores_of(central)
            run.result.evaluate_metrics_serverapp[number] = central
            scores = run.server_scores[number] | scores
    run.evaluated = number if on_clients else run.evaluated
    if not scores:
        return
    run.emit(
        "evaluate",
        merge=run.version,
        time_s=clock.now_s(),
        wall_s=run.wall_s(),
        left_out=jobs.notes.total - told,
        metrics=scores,
    )
    if options.on_evaluate is not None:
        options.on_evaluate(number, run.served_record(), scores)
    stop = options.stop
    if stop.metric and stop.metric not in scores:
        log(WARNING, "no evaluation reports %s, which the run is to stop at: there are %s", stop.metric, [*scores])
    run.stop_reason = stop.reached(scores) or run.stop_reason


def finish(run: Run, clock: Clock) -> Result:
    """Evaluate if that is still due, charge open jobs until now, say why the run stopped; return its result."""
    if run.number > run.train_metrics.closed:
        run.progress.trained(run.train_metrics.close(run.number) or {})
    if run.number not in (run.evaluated, *run.client_scores, *run.server_scores):
        evaluate(run, clock)
    _tell(run, clock)
    # Rounds with a barrier are over when a run ends, but for the one that a budget had no room for: it is not made.
    until_s = -math.inf if run.plan.barrier else clock.now_s()
    for job in tuple(run.jobs):
        spent = run.jobs.close(job, until_s)
        run.emit("unfinished", **run.where(job, clock.now_s()), **spent.fields())
    reason = run.stop_reason or f"{run.version} merges made"
    run.emit("stop", merge=run.version, time_s=clock.now_s(), reason=reason)
    run.result.arrays = run.served_record()
    run.jobs.notes.tell_totals()
    log(INFO, "run %s ended: %s", run.options.run_name, reason)
    return run.result


def _tell(run: Run, clock: Clock) -> None:
    """Log how far the run is, where it counts rounds' worth."""
    if run.options.unit == "rounds" and (number := run.number):
        scores = run.client_scores.get(number, {}) | run.server_scores.get(number, {})
        run.progress.tell(number, merges=run.version, time=f"{clock.now_s():.6g} {clock.unit}", scores=scores)
