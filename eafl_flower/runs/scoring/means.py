"""Means of what clients report, which no single client decides: what is left out of them is told.

Of a declared score (``core/scores.py``) the declaration says its range and how it is averaged. Of anything else the
range is guessed by its name, and its mean is weighted by examples.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from eafl_flower.aggregation.example_counts import largest_believed, too_many
from eafl_flower.core.excerpt import excerpt
from eafl_flower.core.scores import PHASES, Score, declared, weighted_mean
from eafl_flower.wire.notes import Notes
from eafl_flower.wire.records import NUM_EXAMPLES
from eafl_flower.wire.reported import MOST_METRICS

# An accuracy of foreign clients, or of ours in a phase.
_SHARE: Final = re.compile(rf"(?:.*[-_./])?(?:accuracy|acc)|accuracy-(?:{'|'.join(PHASES)})")
_LOSS: Final = re.compile(r"(?:.*[-_./])?loss")
_SLACK: Final = 1e-6  # of an end of the range: an accuracy may be a mean that was taken in float32

Report = tuple[int, Mapping[str, float]]  # client, and its numbers with ``num-examples``


def robust_means(
    reports: Sequence[Report],
    notes: Notes,
    *,
    kinds: Mapping[int, bool] | None = None,
    scores: Sequence[Score] = (),
) -> dict[str, float]:
    """Average each metric over the clients that report it as a number in its range.

    A declared score is averaged as it says. Others are weighted by examples; an accuracy among them lies between 0 and
    1 (or 100, where the median client counts in percent), a loss at 0 or above unless the median client's is below. No
    client weighs more than ``largest_believed``. Where no client has examples, all weigh alike. At most
    ``MOST_METRICS`` are averaged.

    Parameters
    ----------
    reports
        The clients and their numbers, ``num-examples`` among them.
    notes
        Tell what was left out.
    kinds
        The kind of each client: those of one kind are expected to report the same metrics.
    scores
        The scores that are declared.
    """
    weights = believed_weights(reports, notes)
    names = _names(reports, notes)
    _note_missing(reports, names, notes, kinds or {})
    means = {}
    for name in names:
        said = {place: values[name] for place, (_, values) in enumerate(reports) if name in values}
        score = declared(name, scores)
        kept = _believed(name, said, reports, notes, score)
        if any(weights[place] for place in kept):
            pairs = [(weights[place], value) for place, value in kept.items()]
            means[name] = weighted_mean(pairs) if score is None else score.average(pairs)
    return means


def believed_weights(reports: Sequence[Report], notes: Notes) -> list[float]:
    """Return the weight of each report; the notes tell of counts that are not believed, and of those that are 0."""
    counts = [values[NUM_EXAMPLES] for _, values in reports]
    if counts and not any(counts):
        notes.tell(
            "no examples",
            f'"{NUM_EXAMPLES}" is 0 in the evaluation of all {len(counts)} clients: all weigh alike in the means; '
            "report the number of examples that were evaluated",
        )
        return [1.0] * len(counts)
    if zeros := [client for client, values in reports if not values[NUM_EXAMPLES]]:
        notes.tell(
            "without examples",
            f'"{NUM_EXAMPLES}" is 0 in the evaluation of {len(zeros)} of {len(counts)} clients, the first client '
            f"{zeros[0]}: they weigh nothing in the means",
            len(zeros),
        )
    most = largest_believed(counts)
    for client, values in reports:
        if values[NUM_EXAMPLES] > most:
            notes.tell("weight", too_many(f"the evaluation of client {client}", values[NUM_EXAMPLES], most))
    return [min(count, most) for count in counts]


def _names(reports: Sequence[Report], notes: Notes) -> list[str]:
    """Return the metrics that are averaged, in the order in which they were first reported."""
    told = Counter(name for _, values in reports for name in values if name != NUM_EXAMPLES)
    if len(told) <= MOST_METRICS:
        return list(told)
    notes.tell(
        "metric",
        f"the clients report {len(told)} different metrics: the {MOST_METRICS} that most of them report are averaged",
        len(told) - MOST_METRICS,
    )
    common = {name for name, _ in told.most_common(MOST_METRICS)}
    return [name for name in told if name in common]


def _note_missing(reports: Sequence[Report], names: Sequence[str], notes: Notes, kinds: Mapping[int, bool]) -> None:
    for kind in sorted(set(kinds.values())):
        alike = [(client, values) for client, values in reports if kinds.get(client) is kind]
        for name in names:
            without = [client for client, values in alike if name not in values]
            if 0 < len(without) < len(alike):
                notes.tell(
                    "missing",
                    f'"{excerpt(name)}" is not in the evaluation of {len(without)} of {len(alike)} clients, the first '
                    f"client {without[0]}: it is the mean over the others",
                    len(without),
                )


def _believed(
    name: str, said: Mapping[int, float], reports: Sequence[Report], notes: Notes, score: Score | None
) -> dict[int, float]:
    """Return the values of one metric that are finite and in its range, by place."""
    finite = {place: value for place, value in said.items() if math.isfinite(value)}
    least, most = (score.least, score.most) if score else _range_of(name, sorted(finite.values()))
    low, high = least - _SLACK * abs(least), most + _SLACK * abs(most)
    kept = {place: value for place, value in finite.items() if low <= value <= high}
    for kind, rest, expected in (
        ("not finite", [p for p in said if p not in finite], "a finite number"),
        ("out of range", [p for p in finite if p not in kept], f"{least:g} to {most:g}"),
    ):
        if rest:
            notes.tell(
                kind,
                f'"{excerpt(name)}" of client {reports[rest[0]][0]} is {said[rest[0]]:g}, expected {expected}: '
                f"{len(rest)} of {len(said)} clients are left out of its mean",
                len(rest),
            )
    return kept


def _range_of(name: str, values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest value that this metric may have, if the median of its sorted values keeps it."""
    middle = values[(len(values) - 1) // 2] if values else 0.0
    if _SHARE.fullmatch(name) and 0 <= middle <= 100:
        return 0.0, 1.0 if middle <= 1 + _SLACK else 100.0
    if _LOSS.fullmatch(name) and middle >= 0:
        return 0.0, math.inf
    return -math.inf, math.inf
