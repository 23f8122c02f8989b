"""Tells Flower's log how far a run is: one line for each round's worth of updates."""

from collections.abc import Mapping
from logging import INFO
from typing import Final

from eafl_flower.engines.flower_log import log

MOST_METRICS: Final = 12
LONGEST_NAME: Final = 60


class Progress:
    """Gathers what a line says, from one round's worth to the next."""

    def __init__(self, num_rounds: int) -> None:
        self._num_rounds = num_rounds
        self._merges = self._staleness = self._told = 0
        self._train: Mapping[str, object] = {}

    def merged(self, staleness: int) -> None:
        """Note a merge."""
        self._merges += 1
        self._staleness += staleness

    def trained(self, metrics: Mapping[str, object]) -> None:
        """Note what the clients of a round's worth have reported."""
        self._train = metrics

    def tell(self, number: int, *, merges: int, time: str, scores: Mapping[str, float]) -> None:
        """Log the line of round's worth ``number``, once: merges so far, mean staleness since the last line."""
        if number <= self._told:
            return
        line = f"{merges} merges, staleness {self._staleness / max(1, self._merges):.1f}, {time}"
        for name, values in (("train", self._train), ("evaluate", scores)):
            line += f"; {name}: {_listed(values)}" if values else ""
        log(INFO, "[ROUND %d/%d] %s", number, self._num_rounds, line)
        self._merges, self._staleness, self._train, self._told = 0, 0, {}, number


def _listed(values: Mapping[str, object]) -> str:
    shown = [f"{_name(k)} {v:.4g}" if isinstance(v, float) else f"{_name(k)} {v}" for k, v in values.items()]
    return ", ".join(shown[:MOST_METRICS]) + (" ..." if len(shown) > MOST_METRICS else "")


def _name(key: str) -> str:
    """Return the name of a metric, which a client has chosen, as it may be written to a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in key[:LONGEST_NAME])
