"""One run from start to end, whatever clock decides what comes next."""

from contextlib import suppress
from logging import INFO, WARNING

from flwr.serverapp.strategy import Result

from eafl_flower.core.excerpt import excerpt
from eafl_flower.engines.flower_log import log
from eafl_flower.runs.clock import Clock
from eafl_flower.runs.keeping.autosave import Autosave
from eafl_flower.runs.keeping.signals import interrupts
from eafl_flower.runs.keeping.take_up import take_up
from eafl_flower.runs.loop.pulse import Pulse
from eafl_flower.runs.loop.settling import finish, settle
from eafl_flower.runs.members.mailbox import Interrupted
from eafl_flower.runs.members.roster import Roster, take_roster
from eafl_flower.runs.pace import announce
from eafl_flower.runs.state import Run
from eafl_flower.wire.unregistered import no_tracebacks

MOST_REASON = 1_000  # letters


def execute(run: Run, clock: Clock) -> Result:
    """Run to the end.

    Raises
    ------
    RunFailedError
        If the error budget is spent or no client is left.
    CheckpointError
        If the run is to be resumed and its checkpoint cannot be used.
    KeyboardInterrupt
        On Ctrl-C, SIGTERM or SIGHUP (then ``Stopped``), after a checkpoint was written if the run had told that it
        starts.
    """
    with no_tracebacks():
        return _execute(run, clock)


def _execute(run: Run, clock: Clock) -> Result:
    options, saves, pulse = run.options, Autosave(), Pulse()
    # Ctrl-C while nodes are waited for stops at once: there is nothing to keep yet.
    roster = take_roster(
        run.plan.grid,
        min_nodes=max(options.min_available_nodes, options.min_train_nodes if options.unit == "rounds" else 0),
        timeout_s=options.node_timeout_s,
        most=clock.most_clients,
        ask_mods=options.codec is not None,
        absent=clock.not_awaited(),
        greeting=options.greeting,
        agreed=run.plan.agreed,
    )
    with interrupts(run.mail):
        try:
            _prepare(run, clock, roster)
            clock.begin()
            _settle(run, clock, saves)
            while not run.done:
                saves.look(run, clock)
                clock.advance()
                pulse.look(run, clock)
                if run.mail.interrupted:
                    raise Interrupted
                _settle(run, clock, saves)
            _checkpoint(run, clock, saves)  # what comes after training may be interrupted, too
            result = finish(run, clock)
        except Interrupted:
            _checkpoint(run, clock, saves)
            log(INFO, "run %s stopped after %d merges", options.run_name, run.version)
            _tell_end(run, clock, "interrupted", str(run.mail.reason) or "interrupted")
            raise run.mail.reason from None
        except Exception as error:
            _tell_end(run, clock, "failed", str(error) or type(error).__name__)
            raise
        if run.mail.interrupted:  # when nobody looked any more
            raise run.mail.reason
    return result


def _prepare(run: Run, clock: Clock, roster: Roster) -> None:
    """Take in the clients and, when resuming, take up the checkpoint; tell that the run starts."""
    options, jobs = run.options, run.jobs
    if options.codec is not None and (plain := sum(m.plain for m in roster.members)):
        text = (
            "%d nodes get plain arrays, the codec is not used with them: only a ClientApp that answers the roster "
            "query, as one with compression_mod does on a node that knows its partition-id, is known to decode"
        )
        log(WARNING, text, plain)
    clock.check(roster)
    run.admit({m.client: m for m in roster.members}, roster.num_partitions)
    if options.resume:
        take_up(run, clock)
    for member in jobs.members.values():
        if member.counted or not options.resume:  # what a first reply told is in the checkpoint
            jobs.note_examples(member)
    if options.unit == "rounds":
        announce(run.pace, run.plan.num_rounds, clients=len(run.trainers), in_flight=run.in_flight)
    run.emit(
        "resume" if options.resume else "start",
        merge=run.version,
        time_s=clock.now_s(),
        clients=len(run.trainers),
        in_flight=run.in_flight,
        merges_planned=run.pace.planned_merges(run.plan.num_rounds),
        parameters=run.models.num_parameters,
        raw_bytes=run.models.raw_bytes,
        uploads=run.tally.updates,
        events=run.num_events,
        **({"energy_j": run.ledger.total().energy_j} if options.resume else {}),
    )


def _settle(run: Run, clock: Clock, saves: Autosave) -> None:
    if settle(run, clock) and run.options.checkpoint is not None:
        run.emit("checkpoint", merge=run.version, time_s=clock.now_s())  # only a scheduled one is an event of the run
        saves.write(run, clock)


def _tell_end(run: Run, clock: Clock, kind: str, reason: str) -> None:
    """Tell why a run that had begun has ended without its results; nothing counts these events."""
    if run.num_events:
        with suppress(Exception):  # what has ended the run is told to its caller, whatever becomes of the event
            run.emit(kind, merge=run.version, time_s=clock.now_s(), reason=excerpt(reason, MOST_REASON))


def _checkpoint(run: Run, clock: Clock, saves: Autosave) -> None:
    """Write a checkpoint, if the run has a file for it."""
    if run.options.checkpoint is not None:
        saves.write(run, clock)
