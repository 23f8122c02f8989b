"""The baselines of an experiment: what stands beside its scores, and what makes no sense there."""

import math
import time
from collections import Counter
from typing import Final, Literal, NamedTuple

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.resuming import provenance_of
from eafl_flower.app.training import train
from eafl_flower.app.workload import Experiment
from eafl_flower.baselines import without_training
from eafl_flower.baselines.cache import collect_baselines
from eafl_flower.baselines.no_communication import no_communication
from eafl_flower.baselines.pooled import pooled
from eafl_flower.config import RunConfig
from eafl_flower.config.run_config import StopSettings
from eafl_flower.core.events import Event
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.results.summary import BASELINES
from eafl_flower.results.views.quantities import time_text
from eafl_flower.tasks.training import answers_with_messages

TRAINED: Final = ("no_communication", "exact", "pooled")
SHORT_S: Final = 30.0  # nobody minds to wait so long [s]


class Beside(NamedTuple):
    """The baselines of a run by name, None for those that are not there, and by name why some are not."""

    found: dict[str, dict[str, float] | None]
    left_out: dict[str, str]


def baselines_beside(experiment: Experiment, *, merges: int, wall_s: float = math.inf) -> Beside:
    """Return the baselines that a run asked for.

    Parameters
    ----------
    experiment
        What was run.
    merges
        How many merges it made.
    wall_s
        How long it took [s]: those that would train for longer, and for longer than ``SHORT_S``, are left out unless
        all are asked for.
    """
    config, which, source = experiment.config, experiment.config.results.baselines, experiment.source
    left_out = _senseless(experiment)
    classless = without_training.left_out(experiment.task.scores)
    if experiment.given is not None or answers_with_messages(experiment.task):
        which = "none"
    if which in ("auto", "all") and not merges:  # stopped before anything was trained that could be compared
        which = "cheap"
    exact = exact_config(config, merges=max(1, merges))

    def collected(
        which: Literal["all", "cheap", "none"], limit_s: float = math.inf
    ) -> dict[str, dict[str, float] | None]:
        return collect_baselines(
            which,
            config=exact,
            data_sha256=provenance_of(experiment).data.sha256,
            cheap=None if classless else lambda: without_training.without_training(source),
            trained=lambda: _trained(resolve(exact), limit_s),
        )

    if which != "auto":
        return Beside(collected(which), left_out)
    try:
        return Beside(collected("all", max(wall_s, SHORT_S)), left_out)
    except TooLong as error:
        return Beside(collected("cheap"), left_out | dict.fromkeys(TRAINED, str(error)))


def exact_config(config: RunConfig, *, merges: int) -> RunConfig:
    """Return the configuration of the run with exact updates that is compared with one of ``merges`` merges.

    It makes the same number of merges and stops for no other reason: a budget of bytes would end it at
    another merge, because its uploads are longer.
    """
    no_rules = {f"stop.{name}": value for name, value in vars(StopSettings()).items()}
    changed = {"codec.name": "float32", "evaluate.every": 0, "checkpoint.every": 0, "strategy.merges": merges}
    return config.replace(changed | {key.replace("_", "-"): value for key, value in no_rules.items()})


def _senseless(experiment: Experiment) -> dict[str, str]:
    """Return why baselines make no sense, by name."""
    asked = experiment.config.results.baselines
    reason = "they need the rows, which are on the nodes" if experiment.given is not None else ""
    reason = reason or ("clients of this task train no model" if answers_with_messages(experiment.task) else "")
    if reason:
        return dict.fromkeys(BASELINES, reason)  # whatever was asked for: nothing is to be had by asking for more
    reason = without_training.left_out(experiment.task.scores) if asked != "none" else ""
    return dict.fromkeys(without_training.NAMES, reason) if reason else {}


class TooLong(Exception):
    """Baselines would train for longer than they may."""


class _CountEpochs:
    """Counts the local epochs behind each client's merged updates, ``usual`` ones where no order says how many.

    Once a tenth of ``merges`` is made it knows how long the baselines will take, of which this run is the first, and
    raises ``TooLong`` if that is more than ``limit_s``.
    """

    def __init__(self, usual: int, *, merges: int, limit_s: float) -> None:
        self.usual, self.merges, self.limit_s = usual, merges, limit_s
        self.by_client: Counter[int] = Counter()
        self._began_s, self._is_looked_at = time.monotonic(), False

    def write(self, event: Event) -> None:
        if event["event"] != "merge":
            return
        self.by_client[event["client"]] += event.get("epochs", self.usual)
        if not self._is_looked_at and 10 * event["merge"] >= self.merges:
            self._is_looked_at = True
            so_far_s = time.monotonic() - self._began_s
            expected_s = len(TRAINED) * so_far_s * self.merges / event["merge"]  # the others train as much
            if expected_s > self.limit_s:
                told = time_text(round(expected_s))
                msg = f"they would take about {told}, longer than the run; --baselines all adds them"
                raise TooLong(msg)

    def close(self) -> None:
        """Nothing is open."""


def _trained(experiment: Experiment, limit_s: float) -> dict[str, dict[str, float]]:
    """Train as ``exact_config`` says, then every client alone and one model on all rows for as many epochs.

    Raises
    ------
    TooLong
        If that would take longer than ``limit_s``.
    """
    workload, seed = experiment.workload, experiment.config.seed
    merges = experiment.config.strategy.merges
    counted = _CountEpochs(workload.local_epochs, merges=merges, limit_s=limit_s)
    grid = InlineGrid(client_app(experiment), workload.source.num_clients)
    exact = train(experiment, grid, observer=counted)
    epochs = counted.by_client
    jobs = {"local_epochs": workload.local_epochs, "unseen_steps": workload.unseen_steps}
    return {
        "exact": exact.client_scores[exact.version],
        "no_communication": no_communication(workload.task, workload.source, epochs, seed=seed, **jobs),
        "pooled": pooled(workload.task, workload.source, epochs, seed=seed, **jobs),
    }
