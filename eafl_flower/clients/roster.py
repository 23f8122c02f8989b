"""A client's answer to the roster query; ``eafl_flower.runs.members.roster`` is the other side."""

from collections.abc import Mapping

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict

from eafl_flower.clients.partition import partition_of
from eafl_flower.core.provenance import Plain
from eafl_flower.engines.flower_internals import trusted_record
from eafl_flower.wire.agreement import AGREED, statement, to_text
from eafl_flower.wire.records import METRICS, NOTE, NUM_EXAMPLES, REFUSAL, ROSTER


def roster_reply(
    message: Message,
    context: Context,
    *,
    num_examples: int | None,
    trains: bool = True,
    kind: str = "full",
    refusal: str = "",
    note: str = "",
    agreed: Mapping[str, Plain] | None = None,
) -> Message:
    """Return the answer of the node of ``context``.

    ``num_examples`` is None where nobody knows it before the first job: then the answer holds 1 and ``counted`` = 0,
    and the server takes the number of the first reply. ``refusal`` says why the node cannot take part,
    ``note`` what the server should tell of it, ``agreed`` what else both sides must have alike (``wire.agreement``).

    Raises
    ------
    ConfigError
        If the node does not know its partition.
    """
    partition, count = partition_of(context)
    metrics: dict[str, int] = {"partition-id": partition, "num-partitions": count}
    metrics |= {NUM_EXAMPLES: 1, "counted": 0} if num_examples is None else {NUM_EXAMPLES: num_examples}
    metrics["trains"] = int(trains)
    about = {
        "kind": kind,
        AGREED: to_text(statement(further=agreed)),
        **({REFUSAL: refusal} if refusal else {}),
        **({NOTE: note} if note else {}),
    }
    content = {
        METRICS: trusted_record(MetricRecord, metrics),
        ROSTER: trusted_record(ConfigRecord, about),
    }
    return Message(trusted_record(RecordDict, dict(content)), reply_to=message)
