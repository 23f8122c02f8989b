"""The sinks that ``results.sinks`` and ``results.metrics-address`` may name, and what each needs installed."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

from eafl_flower.config.addresses import parse_address
from eafl_flower.core.events import Observer
from eafl_flower.results.sinks.about import About
from eafl_flower.results.sinks.apart import Apart
from eafl_flower.results.sinks.mlflow import MLflowSink
from eafl_flower.results.sinks.prometheus import PrometheusSink
from eafl_flower.results.sinks.tensorboard import TensorBoardSink
from eafl_flower.results.sinks.wandb import WandbSink

TRACKERS: Final[Mapping[str, tuple[str, Callable[[About], Any]]]] = {
    "tensorboard": ("tensorboardX", TensorBoardSink),
    "mlflow": ("mlflow", MLflowSink),
    "wandb": ("wandb", WandbSink),
}
"""Of each sink the package that it needs, which is that of the extra of its name, and what makes it."""


def sinks_of(names: Sequence[str], metrics_address: str, about: About, say: Callable[[str], None]) -> list[Observer]:
    """Return the sinks of a run, each in a thread of its own; ``say`` is told once if one is left out.

    Raises
    ------
    ImportError
        If the package of one is not installed; the message says what to install.
    """
    for name in names:
        _need(TRACKERS[name][0], name, f'results.sinks = "{name}"')
    if metrics_address:
        _need("prometheus_client", "metrics", "results.metrics-address")
    sinks: list[Observer] = [Apart(name, partial(TRACKERS[name][1], about), say) for name in names]
    if metrics_address:
        host, port = parse_address(metrics_address)
        name = f"the endpoint for Prometheus at {metrics_address}"
        sinks.append(Apart(name, lambda: PrometheusSink(host, port, about.name), say))
    return sinks


def _need(package: str, extra: str, setting: str) -> None:
    if find_spec(package) is None:
        msg = f"{setting} needs {package}: pip install 'eafl-flower[{extra}]'"
        raise ImportError(msg)
