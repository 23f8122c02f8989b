"""Parameters and metrics for MLflow, where its environment variables say (``MLFLOW_TRACKING_URI``, ...)."""

import os
import time
from typing import Any

from eafl_flower.core.events import Event
from eafl_flower.results.sinks.about import About
from eafl_flower.results.sinks.points import Points

MOST_POINTS = 500  # sent at a time; MLflow takes 1,000
EVERY_S = 5.0
_MOST_PARAMETERS, _LONGEST_PARAMETER = 100, 500  # at a time, letters


class MLflowSink:
    """Observer that makes one run of MLflow, named as the run's directory."""

    def __init__(self, about: About) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self._client, self._metric = MlflowClient(), Metric
        self._points, self._waiting, self._sent_s = Points(), list[Any](), time.monotonic()
        self._run_id = self._client.create_run(_experiment(self._client), run_name=about.name).info.run_id
        settings = [Param(key, str(value)[:_LONGEST_PARAMETER]) for key, value in about.settings.items()]
        for first in range(0, len(settings), _MOST_PARAMETERS):
            self._client.log_batch(self._run_id, params=settings[first : first + _MOST_PARAMETERS])
        self._end = "FAILED"  # unless the run says that it has ended well

    def write(self, event: Event) -> None:
        """Gather the numbers of one event, and send them now and then."""
        now_ms = int(time.time() * 1000)
        self._waiting += [self._metric(p.name, p.value, now_ms, p.step) for p in self._points.of(event)]
        self._end = {"stop": "FINISHED", "interrupted": "KILLED"}.get(event["event"], "FAILED")
        if len(self._waiting) >= MOST_POINTS or time.monotonic() >= self._sent_s + EVERY_S:
            self._send()

    def close(self) -> None:
        """Send what is left, and say how the run has ended."""
        self._send()
        self._client.set_terminated(self._run_id, self._end)

    def _send(self) -> None:
        while self._waiting:
            self._client.log_batch(self._run_id, metrics=self._waiting[:MOST_POINTS])
            del self._waiting[:MOST_POINTS]
        self._sent_s = time.monotonic()


def _experiment(client: Any) -> str:
    """Return the experiment that MLflow's environment variables name, made if there is none; else its default."""
    if number := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return number
    if not (name := os.environ.get("MLFLOW_EXPERIMENT_NAME")):
        return "0"
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found is not None else client.create_experiment(name))
