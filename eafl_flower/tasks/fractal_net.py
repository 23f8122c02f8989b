"""The fractal network as a part: what of it is a setting."""

from dataclasses import dataclass
from typing import Any, Literal

from eafl_flower.core.settings import Share, check_settings
from eafl_flower.heads.size import parse_sizes
from eafl_flower.tasks.fractal import ONE_SIZE, FractalTask
from eafl_flower.tasks.training import Personal, Training


@dataclass(frozen=True, kw_only=True)
class FractalNet(Personal):
    """``FractalTask`` by its settings.

    Parameters
    ----------
    head_sizes
        Depth x width, as in "1x16,3x24", to the clients in turn; empty: by their data.
    prune_threshold, head, numeric_bins
        See ``FractalTask``.
    optimizer, adadelta_constants, optimizer_state
        See ``WithOptimizer``.

    Raises
    ------
    ConfigError
        If a setting is out of range, or a federated head is to have several sizes.
    """

    head: Literal["private", "federated", "both"] = "both"
    head_sizes: str = ""
    prune_threshold: Share = 0.0

    def __post_init__(self) -> None:
        try:
            sizes = parse_sizes(self.head_sizes)
            text = ONE_SIZE if len(sizes) > 1 and self.head == "federated" else ""
        except ValueError as error:
            text = str(error)
        further = {"numeric_bins": self.bins_problem, "adadelta_constants": self.constants_problem}
        check_settings(self, head_sizes=text, **further)

    def make(self, training: Training) -> FractalTask:
        """Return the task for features and classes."""
        sized_by_data = self.head != "federated" and not self.head_sizes
        settings: dict[str, Any] = vars(self) | training.steps_on_device
        settings["head_sizes"] = parse_sizes(self.head_sizes)
        settings["quantiles"] = training.quantiles if self.numeric_bins else None
        return FractalTask(**settings, ranges=training.ranges if sized_by_data else None)
