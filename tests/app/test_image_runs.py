"""Runs with networks for images."""

import pytest
from toy_federation import Recorder

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.engines.inline import InlineGrid

pytest.importorskip("torch")
pytest.importorskip("sklearn", reason="digits come with scikit-learn")

ROUNDS = {
    **{"data.name": "digits", "data.clients": 6, "data.unseen": 1, "data.partition": "iid"},
    **{"task.batch-size": 32, "strategy.name": "fedavg", "strategy.mode": "sync", "codec.name": "none"},
}
TASKS = {
    "cnn": {
        "task.cnn.channels": 8,
        "task.cnn.optimizer": "adadelta",
        "task.learning-rate": 1.0,
        "task.local-epochs": 4,
    },
    "vision-transformer": {
        **{"task.vision-transformer.patch": 2, "task.vision-transformer.width": 32},
        **{"task.vision-transformer.optimizer": "adamw", "task.learning-rate": 0.003, "task.local-epochs": 3},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_rounds_of_fedavg_teach_digits_to_those_that_train_and_to_one_that_never_does(name):
    merges = 6
    options = {"task.name": name, "strategy.merges": merges, "evaluate.every": merges, "evaluate.after-training": False}
    experiment = resolve(RunConfig.from_flat({**ROUNDS, **TASKS[name], **options}))
    grid = InlineGrid(client_app(experiment), experiment.source.num_clients)
    run = train(experiment, grid, observer=Recorder())
    first, last = run.client_scores[0], run.client_scores[merges]
    assert first["accuracy-before"] < 0.3 and last["accuracy-before"] > 0.7
    assert last["accuracy-unseen"] > 0.6
