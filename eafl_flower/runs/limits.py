"""When a run ends before its last merge."""

from collections.abc import Mapping
from dataclasses import dataclass

from eafl_flower.energy.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """When to stop before the planned number of merges; 0 or an empty name switches a rule off.

    Parameters
    ----------
    metric, target
        Stop once an evaluation reports ``metric`` of at least ``target``.
    energy_j
        Stop once the clients have spent this energy [J].
    payload_bytes
        Stop once payloads of this size went over the air, both directions together, evaluations apart [byte].
    time_s
        Stop once this time has passed: virtual in a simulation, real in a deployment [s].
    """

    metric: str = ""
    target: float = 0.0
    energy_j: float = 0.0
    payload_bytes: int = 0
    time_s: float = 0.0

    @property
    def has_budget(self) -> bool:
        """Whether something beside an evaluation may stop the run."""
        return bool(self.energy_j or self.payload_bytes or self.time_s)

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

    def reached(self, scores: Mapping[str, float]) -> str:
        """Say that the metric has reached its target; an empty text if it has not."""
        score = scores.get(self.metric)
        if not self.metric or score is None or score < self.target:
            return ""
        return f"{self.metric} reached {score:.4f}, target {self.target:g}"
