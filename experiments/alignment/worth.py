"""When one precoder for all is still worth it: a rule, and what it says of each condition."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from experiments.alignment.measures import Band, accuracy, band, gap
from experiments.alignment.questions import Condition, Runs, conditions

NEAR: Final = 0.01  # of accuracy, that private precoders may be better by
DEVIATIONS: Final = 2.0  # standard errors, that a broadcast that learns nothing must be beaten by
PAIRS: Final = (("federated", "multi-link"), ("federated-wide", "multi-link-wide"))
PLAIN: Final = ("eigen-k-open", "ridge/open")
"""Broadcasts that learn nothing of the channel: the best features by least squares, and by ridge."""


@dataclass(frozen=True)
class Verdict:
    """Whether a shared precoder is worth it: against private ones, and against the better plain broadcast."""

    shared: Band
    private: Band
    above_private: Band
    above_plain: Band

    @property
    def words(self) -> str:
        """What it says."""
        near = self.above_private.mean >= -NEAR
        better = self.above_plain.mean > DEVIATIONS * self.above_plain.error and self.above_plain.mean > 0
        if near and better:
            return "yes"
        reasons = [] if near else [f"own precoders are {-100 * self.above_private.mean:.1f} points better"]
        if not better:
            reasons.append("a plain broadcast does as well")
        return "no: " + ", ".join(reasons)


def verdict(shared: Sequence[float], private: Sequence[float], plain: Sequence[Sequence[float]]) -> Verdict:
    """Return the verdict on accuracies, paired by seed.

    It is worth it if private precoders, which take the channel once for each user, are at most a point more accurate,
    and if it beats the better plain broadcast by two standard errors.
    """
    above_plain = min((gap(shared, one) for one in plain), key=lambda found: found.mean)
    return Verdict(band(shared), band(private), gap(shared, private), above_plain)


def of_condition(runs: Runs, condition: Condition, shared: str, private: str) -> Verdict:
    """Return the verdict under a condition."""
    changed = replace(runs.scope.base, **condition.changes)

    def accuracies(method: str) -> list[float]:
        return [accuracy(result) for result in runs.of(replace(changed, method=method))]

    return verdict(accuracies(shared), accuracies(private), [accuracies(method) for method in PLAIN])


def of_all(runs: Runs) -> list[tuple[Condition, list[Verdict]]]:
    """Return the verdicts of all conditions, for each pair of shared and private precoders."""
    return [
        (condition, [of_condition(runs, condition, shared, private) for shared, private in PAIRS])
        for condition in conditions(runs.scope)
    ]
