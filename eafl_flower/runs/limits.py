"""When a run ends before its last merge."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from eafl_flower.core.scores import Score, declared
from eafl_flower.core.settings import Count, NotNegative, check_settings
from eafl_flower.energy.ledger import Ledger
from eafl_flower.errors import ConfigError

_ROUNDING: Final = 1e-12  # of sums: a round that takes just what is left is made


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """When to stop before the planned number of merges; 0 or an empty name switches a rule off.

    Parameters
    ----------
    metric, target
        Stop once an evaluation reports ``metric`` as good as ``target``.
    higher_is_better
        Whether that is at least ``target``, or at most.
    energy_j
        Stop once the clients have spent this energy [J].
    payload_bytes
        Stop once payloads of this size went over the air, both directions together, evaluations apart [byte].
    time_s
        Stop once this time has passed: virtual in a simulation, real in a deployment [s].
    within_budget
        Where rounds have a barrier, in a simulation: stop before the first round that would exceed one of the three. It
        is priced when all its replies are in, and costs nothing.

    Raises
    ------
    ConfigError
        If a budget is negative or not finite.
    """

    metric: str = ""
    target: float = 0.0
    higher_is_better: bool = True
    energy_j: NotNegative = 0.0
    payload_bytes: Count = 0
    time_s: NotNegative = 0.0
    within_budget: bool = False

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def has_budget(self) -> bool:
        """Whether something beside an evaluation may stop the run."""
        return bool(self.energy_j or self.payload_bytes or self.time_s)

    def on(self, scores: Sequence[Score]) -> "StopRule":
        """Return this rule for a run whose clients report these scores: they say which way is better.

        Raises
        ------
        ConfigError
            If the metric is none of them, or the target none of its values.
        """
        if not self.metric:
            return self
        score = declared(self.metric, scores)
        if score is None:
            there = ", ".join(metric for score in scores for metric in score.metrics)
            msg = f'stop.metric = "{self.metric}": the task has no such score, there are {there or "none"}'
            raise ConfigError(msg)
        if not score.allows(self.target):
            msg = f"stop.target = {self.target:g}: expected {score.range_text}, as {self.metric} can be"
            raise ConfigError(msg)
        return replace(self, higher_is_better=score.higher_is_better)

    def spent(self, ledger: Ledger, time_s: float) -> str:
        """Say which budget is spent; an empty text if none is."""
        energy_j = ledger.total().energy_j
        num_bytes = ledger.total("downlink").payload_bytes + ledger.total("uplink").payload_bytes
        if self.energy_j and energy_j >= self.energy_j:
            return f"{energy_j:.6g} J spent, budget {self.energy_j:g} J"
        if self.payload_bytes and num_bytes >= self.payload_bytes:
            return f"{num_bytes} bytes sent, budget {self.payload_bytes} bytes"
        if self.time_s and time_s >= self.time_s:
            return f"{time_s:.6g} s passed, budget {self.time_s:g} s"
        return ""

    def exceeded(self, ledger: Ledger, *, energy_j: float, num_bytes: int, end_s: float) -> str:
        """Say which budget a round would exceed that takes so much and ends at ``end_s``; an empty text if none."""
        spent_j = ledger.total().energy_j
        sent = ledger.total("downlink").payload_bytes + ledger.total("uplink").payload_bytes
        if self.energy_j and spent_j + energy_j > self.energy_j * (1 + _ROUNDING):
            return f"{spent_j:.6g} J spent, the next round would take {energy_j:.6g} J, budget {self.energy_j:g} J"
        if self.payload_bytes and sent + num_bytes > self.payload_bytes:
            return f"{sent} bytes sent, the next round would send {num_bytes}, budget {self.payload_bytes} bytes"
        if self.time_s and end_s > self.time_s * (1 + _ROUNDING):
            return f"the next round would end at {end_s:.6g} s, budget {self.time_s:g} s"
        return ""

    def reached(self, scores: Mapping[str, float]) -> str:
        """Say that the metric has reached its target; an empty text if it has not."""
        score = scores.get(self.metric)
        if not self.metric or score is None or math.isnan(score):
            return ""
        if score < self.target if self.higher_is_better else score > self.target:
            return ""
        return f"{self.metric} reached {score:.4g}, target {self.target:g}"
