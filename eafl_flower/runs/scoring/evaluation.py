"""Evaluation on the clients: ask them all, then average each metric over those that report it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from logging import WARNING

from flwr.app import ConfigRecord, Message, MessageType, MetricRecord, RecordDict

from eafl_flower.core.orders import Order
from eafl_flower.core.rng import generator
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import ProtocolError
from eafl_flower.runs.members.mailbox import Interrupted, was_delivered
from eafl_flower.runs.open_jobs import OpenJobs
from eafl_flower.runs.scoring.means import Report, robust_means
from eafl_flower.runs.snapshot import Served
from eafl_flower.types import Arrays
from eafl_flower.wire.records import NUM_EXAMPLES, UNJUDGED, single_metric_record
from eafl_flower.wire.replies import reason_of, state_was_lost
from eafl_flower.wire.reported import bounded_scores
from eafl_flower.wire.size import framed_bytes
from eafl_flower.wire.unregistered import has_no_evaluate

TOGETHER = 200  # messages whose replies are asked for at a time


def sample(jobs: OpenJobs, clients: Iterable[int], number: int) -> list[int]:
    """Draw those of ``clients`` that evaluation ``number`` asks, in order: as many as FedAvg would."""
    options = jobs.options
    there = sorted(set(clients) - jobs.never_evaluate)
    wanted = max(int(options.fraction_evaluate * len(there)), options.min_evaluate_nodes)
    if options.fraction_evaluate == 0 or wanted >= len(there):
        return there if options.fraction_evaluate else []
    drawn = generator(options.seed, "evaluate", number).choice(len(there), wanted, replace=False)
    return [there[i] for i in sorted(drawn)]


def evaluate_on_clients(
    jobs: OpenJobs,
    clients: Iterable[int],
    config: ConfigRecord,
    *,
    served: Mapping[str, Served],
    note_lost: Callable[[int], None],
    server_round: int = 0,
    own: Callable[[int, str], Arrays] | None = None,
) -> MetricRecord:
    """Return the clients' metrics for ``served``, aggregated as the options say, by default as ``robust_means`` does.

    Each client evaluates the model of its newest job, or the first; of it what ``own`` gives for it, where clients have
    arrays of their own.

    What is left out, clients that fail among it, is counted and told in ``jobs.notes``; those without an evaluate
    function are not asked again.
    Bytes are booked as "evaluate": of an error, those of the way down. ``note_lost`` is called with each client that
    had lost its state and was scored with a fresh one.

    Raises
    ------
    Interrupted
        If the user asked to stop meanwhile; nothing is booked then.
    """
    bases = {m.name: m.side.downlink.encode(*served[m.name]) for m in jobs.models if own is None}
    names = jobs.models.names
    asked: list[tuple[int, str]] = []
    sent: dict[int, tuple[int, int]] = {}  # payload and framed bytes
    for client in clients:
        name = names[int(jobs.table.model[client])]
        version, downlink = served[name].version, jobs.models[name].side.downlink
        whole = bases[name] if own is None else downlink.encode((version, client), own(client, name))
        theirs = downlink.uncoded(whole) if jobs.is_plain(client) else whole
        terms = jobs.terms(client, 0, int(jobs.table.state[client]), 0, Order(model=name))
        content = theirs.message(terms, config, server_round, jobs.options.configrecord_key)
        sent[client] = theirs.payload_bytes, theirs.framed_with(content)
        asked.append((client, jobs.mail.push(jobs.members[client].node_id, content, MessageType.EVALUATE, version)))
    if jobs.mail.interrupted:
        raise Interrupted
    replies = _replies(jobs, asked)
    weighted_by, aggregate = jobs.options.weighted_by_key, jobs.options.evaluate_metrics_aggr_fn
    contents: list[RecordDict] = []
    without = {client for client, reply in replies if has_no_evaluate(reply)}
    if without:
        jobs.never_evaluate |= without
        log(WARNING, "%d clients have no evaluate function (@app.evaluate()): they are not asked again", len(without))
    reports: list[Report] = []
    failed: list[str] = []
    unread: list[str] = []
    for client, reply in replies:
        if reply is not None and was_delivered(reply):
            payload, framed = sent[client]
            framed += framed_bytes(reply.content) if reply.has_content() else 0
            jobs.ledger.book(client, "evaluate", payload_bytes=payload, framed_bytes=framed)
        if client in without:
            continue
        if reply is None or reply.has_error():
            failed.append(f"evaluation on client {client} failed: {reason_of(reply)}")
            continue
        if state_was_lost(reply.content):
            note_lost(client)
        whose = f"the evaluation of client {client}"
        try:
            record = single_metric_record(reply.content, whose, weighted_by)
            values = bounded_scores(record, whose, jobs.notes, weighted_by)
            reports.append((client, {**values, NUM_EXAMPLES: values.pop(weighted_by)}))
            contents.append(reply.content)
        except ProtocolError as error:
            unread.append(str(error))
    for kind, reasons in (("no evaluation", failed), ("unreadable evaluation", unread)):
        if reasons:
            share = f"{len(reasons)} of {len(replies)} clients are left out of the means for such a reason"
            jobs.notes.tell(kind, f"{reasons[0]}; {share}", len(reasons))
    _mention_unjudged(reports, jobs)
    if aggregate is not None and contents:
        return aggregate(contents, weighted_by)
    kinds = {client: member.trains for client, member in jobs.members.items()}
    means = robust_means(reports, jobs.notes, kinds=kinds, scores=jobs.options.scores)
    return MetricRecord(dict(means))


def _replies(jobs: OpenJobs, asked: Sequence[tuple[int, str]]) -> list[tuple[int, Message | None]]:
    """Return the reply of each client, None where there is none in time."""
    timeout_s, found = jobs.mail.timeout_s, dict[str, Message]()
    ids = [message_id for _, message_id in asked if message_id]
    for start in range(0, len(ids), TOGETHER):
        there = jobs.mail.wait_for_all(ids[start : start + TOGETHER], timeout_s)
        # Who has had this long need not be waited for once more: only what is there already counts.
        timeout_s = 0.0 if len(there) < len(ids[start : start + TOGETHER]) else timeout_s
        found |= there
    return [(client, found.get(message_id)) for client, message_id in asked]


def _mention_unjudged(reports: list[Report], jobs: OpenJobs) -> None:
    said = [values[UNJUDGED] for _, values in reports if UNJUDGED in values]
    if count := sum(value == 1 for value in said):
        text = (
            f"{count} of {len(said)} clients that never trained have too few labelled rows, or rows of one class, to "
            "adapt a head to: they go by the one there is until ten rows of two classes are labelled"
        )
        jobs.notes.mention(UNJUDGED, text)
