"""Curves for Weights & Biases, where its environment variables say (``WANDB_MODE``, ``WANDB_PROJECT``, ...)."""

import os

from eafl_flower.core.events import Event
from eafl_flower.results.sinks.about import About
from eafl_flower.results.sinks.points import Points


class WandbSink:
    """Observer that makes one run of W&B, named as the run's directory; a run that goes on goes on there, too."""

    def __init__(self, about: About) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "eafl-flower"),
            dir=os.environ.get("WANDB_DIR", str(about.folder)),
            id=os.environ.get("WANDB_RUN_ID", about.name),
            name=os.environ.get("WANDB_NAME", about.name),
            resume="allow",
            config=dict(about.settings),
        )
        self._points = Points()
        self._failed = True

    def write(self, event: Event) -> None:
        """Log the numbers of one event."""
        points = list(self._points.of(event))
        self._failed = event["event"] != "stop"
        if points:
            self._run.log({point.name: point.value for point in points}, step=points[0].step)

    def close(self) -> None:
        """Write what is left, and say how the run has ended."""
        self._run.finish(exit_code=1 if self._failed else 0)
