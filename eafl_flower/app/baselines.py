"""The baselines of an experiment: what stands beside its scores, and what makes no sense there."""

from collections import Counter

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
from eafl_flower.tasks.training import MessageTask


def baselines_beside(experiment: Experiment, *, merges: int) -> dict[str, dict[str, float] | None]:
    """Return the baselines that a run of so many merges asked for, by name; None for the others."""
    config, which, source = experiment.config, experiment.config.results.baselines, experiment.source
    classless = without_training.left_out(experiment.task.scores)
    if experiment.given is not None or isinstance(experiment.task, MessageTask):
        which = "none"
    if which == "all" and not merges:  # stopped before anything was trained that could be compared
        which = "cheap"
    exact = exact_config(config, merges=max(1, merges))
    return collect_baselines(
        which,
        config=exact,
        data_sha256=provenance_of(experiment).data.sha256,
        cheap=None if classless else lambda: without_training.without_training(source),
        trained=lambda: _trained(resolve(exact)),
    )


def exact_config(config: RunConfig, *, merges: int) -> RunConfig:
    """Return the configuration of the run with exact updates that is compared with one of ``merges`` merges.

    It makes the same number of merges and stops for no other reason: a budget of bytes would end it at
    another merge, because its uploads are longer.
    """
    no_rules = {f"stop.{name}": value for name, value in vars(StopSettings()).items()}
    changed = {"codec.name": "float32", "evaluate.every": 0, "checkpoint.every": 0, "strategy.merges": merges}
    return config.replace(changed | {key.replace("_", "-"): value for key, value in no_rules.items()})


def baselines_left_out(experiment: Experiment) -> dict[str, str]:
    """Return why baselines that were asked for make no sense, by name."""
    asked = experiment.config.results.baselines
    reason = "they need the rows, which are on the nodes" if experiment.given is not None else ""
    reason = reason or ("clients of this task train no model" if isinstance(experiment.task, MessageTask) else "")
    if reason:
        names = {"all": BASELINES, "cheap": without_training.NAMES, "none": ()}[asked]
        return dict.fromkeys(names, reason)
    reason = without_training.left_out(experiment.task.scores) if asked != "none" else ""
    return dict.fromkeys(without_training.NAMES, reason) if reason else {}


class _CountEpochs:
    """Counts the local epochs behind each client's merged updates, ``usual`` ones where no order says how many."""

    def __init__(self, usual: int) -> None:
        self.usual = usual
        self.by_client: Counter[int] = Counter()

    def write(self, event: Event) -> None:
        if event["event"] == "merge":
            self.by_client[event["client"]] += event.get("epochs", self.usual)

    def close(self) -> None:
        """Nothing is open."""


def _trained(experiment: Experiment) -> dict[str, dict[str, float]]:
    """Train as ``exact_config`` says, then every client alone and one model on all rows for as many epochs."""
    workload, seed = experiment.workload, experiment.config.seed
    counted = _CountEpochs(workload.local_epochs)
    grid = InlineGrid(client_app(experiment), workload.source.num_clients)
    exact = train(experiment, grid, observer=counted)
    epochs = counted.by_client
    jobs = {"local_epochs": workload.local_epochs, "unseen_steps": workload.unseen_steps}
    return {
        "exact": exact.client_scores[exact.version],
        "no_communication": no_communication(workload.task, workload.source, epochs, seed=seed, **jobs),
        "pooled": pooled(workload.task, workload.source, epochs, seed=seed, **jobs),
    }
