"""A configuration is resolved once: what this process has made of one is kept until a file changes."""

from collections.abc import Iterable
from functools import lru_cache

from eafl_flower.app.workload import Experiment, loaded
from eafl_flower.clients.numpy_client import forget_workloads
from eafl_flower.config import RunConfig
from eafl_flower.core.settings import Value
from eafl_flower.core.stamps import any_changed, forget


def resolve(config: RunConfig) -> Experiment:
    """Return the experiment of a configuration: that of before, unless a file has changed since it was read."""
    if any_changed():
        forget()
        forget_workloads()
        for cache in (loaded, _resolved, experiment_of_items):
            cache.cache_clear()
    return _resolved(config)


@lru_cache(maxsize=4)
def experiment_of_items(items: tuple[tuple[str, Value], ...]) -> Experiment:
    """Return the experiment of a flat configuration, as Flower hands it out with every message."""
    return resolve(RunConfig.from_flat(dict(items)))


@lru_cache(maxsize=4)
def _resolved(config: RunConfig) -> Experiment:
    return Experiment(config)


def check_stop_rules(configs: Iterable[RunConfig]) -> None:
    """Raise ``ConfigError`` if a run could not stop as it is told to: its task has no such score, or no such value.

    Rows are read only where a score is named, and once for all runs with the same task and rule.
    """
    for config in {(config.stop, config.task): config for config in configs if config.stop.metric}.values():
        _ = resolve(config).stop
