"""The rule that ends a run early, from its configuration and the scores that its clients report."""

from collections.abc import Sequence

from eafl_flower.config import RunConfig
from eafl_flower.core.scores import Score
from eafl_flower.runs.limits import StopRule


def build_stop_rule(config: RunConfig, scores: Sequence[Score]) -> StopRule:
    """Return the rule; raises ``ConfigError`` if the scores lack its metric, or its target is none of their values."""
    stop = config.stop
    return StopRule(
        metric=stop.metric,
        target=stop.target,
        energy_j=stop.energy_j,
        payload_bytes=stop.bytes,
        time_s=stop.virtual_time_s,
    ).on(scores)
