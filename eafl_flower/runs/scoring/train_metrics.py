"""What clients report of their training, aggregated as it comes in: memory does not grow with the merges."""

import math
from collections import OrderedDict
from typing import Any, Final

from flwr.app import MetricRecord, RecordDict

from eafl_flower.core.scores import weighted_mean
from eafl_flower.runs.options import AggregateMetrics
from eafl_flower.wire.records import METRICS

NEWEST_KEPT: Final = 1000  # records of a run that counts merges; all of them are in the event log


class TrainMetrics:
    """Makes one record of the replies to each unit (a round's worth, a round, a merge) that a run counts.

    Parameters
    ----------
    aggregate
        Called with the replies' metrics (each in a RecordDict, without arrays) and ``weighted_by``; None is the mean
        with these weights, of each metric over those that report it.
    weighted_by
        The metric that is the weight.
    keep
        How many records to keep, the newest; 0: all.

    Attributes
    ----------
    records
        The records by number of the unit.
    pending
        What replies have reported since the last unit, each with its weight.
    closed
        The newest unit whose record was made.
    """

    def __init__(self, aggregate: AggregateMetrics | None, weighted_by: str, *, keep: int) -> None:
        self.records: OrderedDict[int, MetricRecord] = OrderedDict()
        self.pending: list[dict[str, Any]] = []
        self.closed = 0
        self._aggregate, self._weighted_by, self._keep = aggregate, weighted_by, keep

    def note(self, metrics: dict[str, Any], weight: float) -> None:
        """Take in what one reply reports, beside its weight."""
        self.pending.append({**metrics, self._weighted_by: weight})

    def close(self, number: int) -> MetricRecord | None:
        """Make the record of unit ``number`` of what came in since the last one; None if nothing did."""
        self.closed = number
        if not self.pending:
            return None
        replies, self.pending = self.pending, []
        record = self.records[number] = self._record(replies)
        while 0 < self._keep < len(self.records):
            self.records.popitem(last=False)
        return record

    def _record(self, replies: list[dict[str, Any]]) -> MetricRecord:
        if self._aggregate is not None:
            contents = [RecordDict({METRICS: MetricRecord(dict(reply))}) for reply in replies]
            return self._aggregate(contents, self._weighted_by)
        weights = [reply.pop(self._weighted_by) for reply in replies]
        if len(replies) == 1:
            return MetricRecord(replies[0])
        equal = not any(weights)  # nobody has examples: all weigh alike
        pairs = [(1.0 if equal else weight, reply) for weight, reply in zip(weights, replies, strict=True)]
        names = dict.fromkeys(name for reply in replies for name in reply)
        said = {n: [(w, r[n]) for w, r in pairs if w > 0 and n in r and math.isfinite(r[n])] for n in names}
        return MetricRecord({name: weighted_mean(values) for name, values in said.items() if values})
