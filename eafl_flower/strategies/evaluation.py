"""Evaluation on the clients: ask them all, then average each metric over those that report it."""

from collections.abc import Iterable
from logging import WARNING

import numpy as np
from flwr.app import ConfigRecord, Message, MessageType

from eafl_flower.errors import ProtocolError
from eafl_flower.strategies.mailbox import Interrupted, was_delivered
from eafl_flower.strategies.open_jobs import OpenJobs, framed_with
from eafl_flower.strategies.records import (
    NUM_EXAMPLES,
    single_metric_record,
)
from eafl_flower.strategies.replies import reason_of, scores_of
from eafl_flower.strategies.telling import log
from eafl_flower.strategies.wire_size import framed_bytes
from eafl_flower.types import Arrays


def evaluate_on_clients(
    jobs: OpenJobs, clients: Iterable[int], config: ConfigRecord, *, version: int, served: Arrays
) -> dict[str, float]:
    """Return the clients' metrics for ``served``, averaged with their ``num-examples`` as weights.

    Clients that fail are left out, with a warning each. Bytes are booked as "evaluate": of an error, those of the
    way down.

    Raises
    ------
    Interrupted
        If the user asked to stop meanwhile; nothing is booked then.
    """
    base = jobs.downlink.encode(version, served)
    asked: list[tuple[int, str]] = []
    sent: dict[int, tuple[int, int]] = {}  # payload and framed bytes
    for client in clients:
        theirs, terms = jobs.for_client(client, base), jobs.terms(client, 0, int(jobs.table.state[client]), 0)
        content = jobs.content(terms, theirs, config, version)
        sent[client] = theirs.payload_bytes, framed_with(theirs, content)
        asked.append((client, jobs.mail.push(jobs.members[client].node_id, content, MessageType.EVALUATE, version)))
    replies: list[tuple[int, Message | None]] = []
    timeout_s = jobs.mail.timeout_s
    for client, message_id in asked:
        if jobs.mail.interrupted:
            raise Interrupted
        reply = jobs.mail.wait(message_id, timeout_s) if message_id else None
        # Who has had this long need not be waited for once more: only what is there already counts.
        timeout_s = 0.0 if message_id and reply is None else timeout_s
        replies.append((client, reply))
    scores: list[dict[str, float]] = []
    for client, reply in replies:
        if reply is not None and was_delivered(reply):
            payload, framed = sent[client]
            framed += framed_bytes(reply.content) if reply.has_content() else 0
            jobs.ledger.book(client, "evaluate", payload_bytes=payload, framed_bytes=framed)
        if reply is None or reply.has_error():
            log(WARNING, "evaluation on client %d failed: %s", client, reason_of(reply))
            continue
        try:
            scores.append(scores_of(single_metric_record(reply.content, f"the evaluation of client {client}")))
        except ProtocolError as error:
            log(WARNING, "%s", error)
    return weighted_means(scores)


def weighted_means(scores: Iterable[dict[str, float]]) -> dict[str, float]:
    """Average each metric over the clients that report it as a finite number, weighted by their examples."""
    sums: dict[str, float] = {}
    weights: dict[str, float] = {}
    for values in scores:
        weight = values[NUM_EXAMPLES]
        for key, value in values.items():
            if key != NUM_EXAMPLES and np.isfinite(value):
                sums[key] = sums.get(key, 0.0) + weight * value
                weights[key] = weights.get(key, 0.0) + weight
    return {key: sums[key] / weights[key] for key in sums if weights[key] > 0}
