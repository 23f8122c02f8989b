"""A task never writes into the arrays it is given: clients of one process share the model they start from."""

import numpy as np
import pytest

from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
from eafl_flower.types import digest

TASKS = {
    "softmax": {"task.name": "softmax"},
    "tabular with sgd": {"task.name": "tabular", "task.tabular.hidden": "8,8"},
    "tabular with adamw": {"task.name": "tabular", "task.tabular.hidden": "8,8", "task.tabular.optimizer": "adamw"},
    "tabular, federated": {"task.name": "tabular", "task.tabular.hidden": "8,8", "task.tabular.head": "federated"},
    "tabular, both": {"task.name": "tabular", "task.tabular.hidden": "8,8", "task.tabular.head": "both"},
    "fractal": {"task.name": "fractal"},
    "fractal with adamw": {"task.name": "fractal", "task.fractal.optimizer": "adamw"},
    "cnn": {"data.name": "digits", "task.name": "cnn", "task.cnn.optimizer": "adadelta"},
    "transformer": {"data.name": "digits", "task.name": "vision-transformer", "task.vision-transformer.patch": 4},
}


@pytest.mark.parametrize("name", TASKS)
def test_training_scoring_and_personalising_leave_the_arrays_they_were_given_as_they_were(name):
    if name in ("cnn", "transformer"):
        pytest.importorskip("sklearn", reason="digits come with scikit-learn")
    if name in ("cnn", "transformer") or "fractal" in name:
        pytest.importorskip("torch")
    data = {"data.clients": 2, "data.unseen": 0}
    data |= {} if "data.name" in TASKS[name] else {"data.idm.rows-per-client": 32}
    workload = resolve(RunConfig.from_flat({**data, **TASKS[name]})).workload
    task, rows = workload.task, workload.source.partition(0)
    initial = tuple(np.array(a) for a in workload.initial(0))  # writable, as what comes over the network is

    def unchanged(arrays, use):
        before = digest(arrays)
        result = use(arrays)
        assert digest(arrays) == before
        return result

    model = unchanged(initial, lambda a: task.personalise(a, rows, generator(0, "personalise", 0), client=0))
    own = tuple(np.array(a) for a in model)
    trained, _ = unchanged(own, lambda a: task.train(a, rows, generator(0, "train"), epochs=2))
    assert digest(trained) != digest(own)
    unchanged(trained, lambda a: task.evaluate(a, rows))
    frozen = {"steps": 3, "first_trained": task.num_backbone}
    unchanged(own, lambda a: task.train(a, rows, generator(0, "unseen"), **frozen))
    assert digest(initial) == digest(workload.initial(0))
