"""What a baseline measures, averaged over clients as in a federated run."""

import math
from collections.abc import Iterable, Mapping, Sequence

from eafl_flower.core.scores import Score


class Phases:
    """Scores of clients, phase by phase.

    Parameters
    ----------
    scores
        The scores of the task.
    """

    def __init__(self, scores: Iterable[Score]) -> None:
        self._scores = tuple(scores)
        self._weighed: dict[tuple[str, str], list[tuple[float, float]]] = {}

    def add(self, phase: str, values: Mapping[str, float], num_rows: int) -> None:
        """Take in what one client's model scores on its ``num_rows`` test rows, by the name of the score."""
        for name, value in values.items():
            self._weighed.setdefault((name, phase), []).append((num_rows, value))

    def means(self) -> dict[str, float]:
        """Return the means by metric, such as ``accuracy-before``.

        A score that is not finite on one client has no mean; neither has one that was measured on no rows.
        """
        found = {}
        for score in self._scores:
            for phase, weighed in ((p, w) for (name, p), w in self._weighed.items() if name == score.name):
                if (mean := _mean(score, weighed)) is not None:
                    found[f"{score.name}-{phase}"] = mean
        return found


def _mean(score: Score, weighed: Sequence[tuple[float, float]]) -> float | None:
    with_rows = [(weight, value) for weight, value in weighed if weight]
    if not with_rows or not all(math.isfinite(value) for _, value in with_rows):
        return None
    return score.average(with_rows)
