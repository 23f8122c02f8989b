"""The main job shows what federation is for: its presets, with fewer merges."""

import logging
from collections import Counter

import pytest

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.baselines.no_communication import no_communication
from eafl_flower.baselines.pooled import pooled
from eafl_flower.baselines.without_training import without_training
from eafl_flower.config import RunConfig
from eafl_flower.engines import InlineGrid

PHASES = ("accuracy-before", "accuracy-after", "accuracy-unlabelled", "accuracy-unseen")


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(logging.getLogger("flwr"), "level", logging.ERROR)


class Log:
    """Local epochs behind each client's merged updates, and the event that ended the run."""

    def __init__(self, epochs):
        self.epochs, self.by_client, self.last = epochs, Counter(), {}

    def write(self, event):
        self.last = event
        if event["event"] == "merge":
            self.by_client[event["client"]] += self.epochs

    def close(self):
        pass


def trained(preset, **settings):
    experiment = resolve(RunConfig.from_toml(preset).replace(settings))
    log = Log(experiment.config.task.local_epochs)
    outcome = train(experiment, InlineGrid(client_app(experiment), experiment.source.num_clients), observer=log)
    return experiment, outcome, log


def scores(seed, **settings):
    """Return ours and those of the baselines, by name."""
    experiment, outcome, log = trained("radio-map", seed=seed, **{"evaluate.every": 0, **settings})
    workload = experiment.workload
    jobs = {"seed": seed, "local_epochs": workload.local_epochs, "unseen_steps": workload.unseen_steps}
    found = {name: run(workload.task, workload.source, log.by_client, **jobs) for name, run in TRAINED.items()}
    return {"ours": outcome.client_scores[outcome.version], **found, **without_training(workload.source)}


TRAINED = {"pooled": pooled, "no communication": no_communication}


def shows_what_federation_is_for(found, *, below_pooled):
    """Hold every score that the main job prints against its baselines."""
    for phase in PHASES:
        ours = found["ours"][phase]
        assert ours > found["pooled"][phase] - below_pooled, phase
        for name in ("no communication", "lookup", "majority"):
            assert ours > found[name].get(phase, 0.0) + 0.1, (phase, name)


@pytest.mark.slow
def test_a_third_of_the_main_job_shows_already_what_federation_is_for():
    shows_what_federation_is_for(scores(1, **{"strategy.merges": 1000}), below_pooled=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])  # docs/data.md has six
def test_the_main_job_is_far_above_every_baseline_without_the_others_rows_and_level_with_pooled_ones(seed):
    shows_what_federation_is_for(scores(seed), below_pooled=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_it_comes_to_eighty_percent_in_two_thirds_of_the_time_of_tuned_synchronous_fedavg(seed):
    target = {"seed": seed, "stop.metric": "accuracy-before", "stop.target": 0.8, "evaluate.after-training": False}
    ours, fedavg = (
        trained(preset, **target, **{"evaluate.every": every})[2].last
        for preset, every in (("radio-map", 20), ("radio-map-fedavg", 2))
    )
    assert ours["time_s"] < 2 / 3 * fedavg["time_s"]
