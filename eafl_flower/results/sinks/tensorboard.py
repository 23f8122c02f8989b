"""Curves for TensorBoard, in the folder ``tensorboard`` of the run."""

from functools import partial
from typing import Any

from eafl_flower.core.events import Event
from eafl_flower.results.sinks.about import About
from eafl_flower.results.sinks.points import Points


class TensorBoardSink:
    """Observer that writes event files; a run that goes on drops what it had written beyond its checkpoint."""

    def __init__(self, about: About) -> None:
        import tensorboardX

        self._new_writer: Any = partial(tensorboardX.SummaryWriter, str(about.folder / "tensorboard"))
        self._writer = self._new_writer()
        self._points = Points()

    def write(self, event: Event) -> None:
        """Write the numbers of one event."""
        if event["event"] == "resume":
            self._writer.close()
            self._writer = self._new_writer(purge_step=event.get("merge", 0) + 1)
        for point in self._points.of(event):
            self._writer.add_scalar(point.name, point.value, point.step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
