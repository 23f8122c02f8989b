"""The tabular network with a federated head beside the private one."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from optim_by_torch import optimizer_by_torch

from eafl_flower.app.experiment import run_experiment
from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Fanout
from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.protocols import Task
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.tasks import tabular
from eafl_flower.tasks.backend import torch_backend
from eafl_flower.tasks.tabular import Tabular, TabularTask

BACKBONE, SHARED = 4, 6  # arrays of two hidden layers, and with a head


@pytest.fixture
def rows(toy_source):
    return toy_source.partition(0)  # 24 training rows: a batch of 16 and one of 8


@pytest.fixture(params=[[0, 1], [0, 2], [1, 2]], ids=str)
def two_classes(rows, request):
    kept = np.isin(rows.y_train, request.param)
    return replace(rows, x_train=rows.x_train[kept], y_train=rows.y_train[kept])


@pytest.fixture(params=["numpy", "torch"])
def backend(request, monkeypatch):
    if request.param == "torch":  # what runs on a GPU, on torch's CPU
        pytest.importorskip("torch")
        monkeypatch.setattr(tabular, "backend_for", lambda device: torch_backend("cpu"))
    return request.param


def make(**settings):
    return TabularTask(num_features=5, num_classes=3, **{"hidden": (8, 7), "head": "both", **settings})


def apart(task):
    """A model whose heads differ."""
    *shared, weight, bias = task.init(generator(1, "init"))
    other = task.init(generator(2, "init"))[-2:]
    return (*shared, (weight + other[0]) / 2, (bias + other[1]) / 2)


def equal(first, second):
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def autograd(task, arrays, rows, rng, *, epochs, trained):
    """The same training by autograd and torch.optim, of the arrays whose indices are in ``trained``."""
    torch = pytest.importorskip("torch")
    linear, cross_entropy = torch.nn.functional.linear, torch.nn.functional.cross_entropy
    parameters = [torch.tensor(a, requires_grad=i in trained) for i, a in enumerate(arrays)]
    optimizer = optimizer_by_torch(task, [parameters[i] for i in trained], task.learning_rate, task.weight_decay)
    x, y = torch.tensor(rows.x_train), torch.tensor(rows.y_train)
    there, places = torch.unique(y, return_inverse=True)
    for _ in range(epochs):
        total = 0.0
        for batch in torch.tensor(rng.permutation(len(y))).split(task.batch_size):
            h = x[batch]
            for i in range(0, BACKBONE, 2):
                h = torch.relu(linear(h, parameters[i], parameters[i + 1]))
            private = cross_entropy(linear(h, *parameters[-2:]), y[batch])
            generic = cross_entropy(linear(h, *parameters[-4:-2])[:, there], places[batch])
            optimizer.zero_grad()
            (private + generic).backward()
            optimizer.step()
            total += private.item() * len(batch)
    return [p.detach().numpy() for p in parameters], total / len(y)


@pytest.mark.parametrize(
    ("first_trained", "trained"),
    [
        (0, range(8)),
        (2, range(2, 8)),
        (3, range(3, 8)),
        (BACKBONE, range(SHARED, 8)),  # a generic head stands or moves with the backbone
        (BACKBONE + 1, range(SHARED, 8)),
        (SHARED, range(SHARED, 8)),
        (SHARED + 1, range(SHARED + 1, 8)),
    ],
)
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.1},
        {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.3},
        {"optimizer": "adadelta", "learning_rate": 1.0, "weight_decay": 0.1},
        {"optimizer": "adadelta", "adadelta_constants": "pytorch", "learning_rate": 1.0},
        {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.1},
        {"optimizer": "rmsprop", "learning_rate": 0.01, "weight_decay": 0.1},
    ],
)
def test_training_is_what_autograd_does_with_both_losses(settings, first_trained, trained, two_classes, backend):
    task = make(**settings)
    arrays = apart(task)
    ours, loss = task.train(arrays, two_classes, generator(1, "train"), epochs=3, first_trained=first_trained)
    theirs, their_loss = autograd(task, arrays, two_classes, generator(1, "train"), epochs=3, trained=trained)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)  # AdamW divides by the root of tiny gradients
    assert loss == pytest.approx(their_loss, rel=1e-4)
    assert all(np.array_equal(ours[i], arrays[i]) for i in range(8) if i not in trained)


def test_a_step_follows_the_gradient_of_both_losses(two_classes, backend):
    """One step of plain SGD at rate 1 on all rows: what the arrays lost is the gradient."""
    task = make(learning_rate=1.0, batch_size=64)
    arrays = apart(task)
    ours, _ = task.train(arrays, two_classes, generator(1, "train"), steps=1)
    theirs, _ = autograd(task, arrays, two_classes, generator(1, "train"), epochs=1, trained=range(8))
    for before, a, b in zip(arrays, ours, theirs, strict=True):
        np.testing.assert_allclose(before - a, before - b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_a_client_lacks_it_does_not_unlearn_for_others(optimizer, two_classes, backend):
    task = make(optimizer=optimizer, learning_rate=0.01)
    arrays = apart(task)
    new, _ = task.train(arrays, two_classes, generator(1, "train"), epochs=3)
    there = np.unique(two_classes.y_train)
    lacking = np.setdiff1d(range(3), there)
    for place in (BACKBONE, BACKBONE + 1):
        assert np.array_equal(new[place][lacking], arrays[place][lacking])
        assert not np.array_equal(new[place][there], arrays[place][there])
    assert not np.array_equal(new[-1][lacking], arrays[-1][lacking])  # its own head need not know them


def test_it_is_a_task_whose_generic_head_travels_with_the_backbone():
    task = make()
    assert isinstance(task, Task)
    shapes = [(8, 5), (8,), (7, 8), (7,), (3, 7), (3,), (3, 7), (3,)]
    assert [a.shape for a in task.init(generator(1, "init"))] == shapes
    assert (task.num_backbone, task.num_shared) == (BACKBONE, SHARED)


def test_all_begin_alike_whatever_kind_of_head_they_have():
    both, private, federated = (make(head=h).init(generator(1, "init")) for h in ("both", "private", "federated"))
    assert equal(both[:SHARED], private)
    assert equal(private, federated)
    assert equal(both[BACKBONE:SHARED], both[SHARED:])
    assert not np.shares_memory(both[BACKBONE], both[SHARED])


def test_who_has_no_head_of_his_own_goes_by_the_fleets(rows):
    both, federated, private = make(), make(head="federated"), make(head="private")
    own = apart(both)
    shared = own[:SHARED]
    assert both.evaluate(shared, rows) == federated.evaluate(shared, rows)
    assert np.array_equal(both.predict(shared, rows.x_test), federated.predict(shared, rows.x_test))
    alone = own[:BACKBONE] + own[SHARED:]  # a client with a head of its own goes by that alone
    assert both.evaluate(own, rows) == private.evaluate(alone, rows) != both.evaluate(shared, rows)
    assert np.array_equal(both.predict(own, rows.x_test), private.predict(alone, rows.x_test))


def test_on_a_frozen_backbone_the_private_head_trains_as_one_without_another_beside_it(rows, backend):
    both, private = make(), make(head="private")
    arrays = apart(both)
    options = {"steps": 5, "first_trained": BACKBONE}
    ours, loss = both.train(arrays, rows, generator(1, "train"), **options)
    alone, its_loss = private.train(arrays[:BACKBONE] + arrays[SHARED:], rows, generator(1, "train"), **options)
    assert equal(ours[:SHARED], arrays[:SHARED])
    assert equal(ours[SHARED:], alone[BACKBONE:])
    assert loss == its_loss


def test_training_learns_in_both_heads_and_leaves_the_given_arrays_alone(rows, backend):
    task = make()
    initial = task.init(generator(1, "init"))
    before = [a.copy() for a in initial]
    arrays, _ = task.train(initial, rows, generator(1, "train"), epochs=30)
    for model in (arrays, arrays[:SHARED]):
        assert task.evaluate(model, rows)[1]["accuracy"] > 0.8
    assert equal(initial, before)
    again, _ = task.train(initial, rows, generator(1, "train"), epochs=30)
    assert equal(arrays, again)


def test_a_stored_head_is_the_private_one_alone():
    task = make()
    arrays = task.init(generator(1, "init"))
    task.check_head(arrays[SHARED:])
    for head in (arrays[BACKBONE:], (), arrays[SHARED:-1]):
        with pytest.raises(ProtocolError, match="the stored head has"):
            task.check_head(head)


@pytest.mark.parametrize("made", [lambda: make(hidden=()), lambda: Tabular(head="both", hidden=())])
def test_without_hidden_layers_there_is_one_head(made):
    with pytest.raises(ConfigError, match=r"without hidden layers .* share nothing with the federated one; set head"):
        made()
    assert Tabular(head="federated", hidden=()).hidden == ()
    with pytest.raises(ConfigError, match="nothing would be shared"):
        Tabular(head="private", hidden=())


def test_a_run_serves_those_that_train_and_those_that_come_later(tmp_path, monkeypatch):
    monkeypatch.setattr(logging.getLogger("flwr"), "level", logging.WARNING)
    settings = {
        **{"data.clients": 6, "data.unseen": 2, "data.idm.rows-per-client": 48, "strategy.merges": 40},
        **{"task.name": "tabular", "task.tabular.head": "both", "task.tabular.hidden": "8,8"},
    }
    config = RunConfig.from_flat({**settings, "results.baselines": "all"})
    run_dir = RunDirectory.create_at(tmp_path / "run")
    run_dir.write_config(config.to_toml())
    observer = Fanout([run_dir.log])
    summary = run_experiment(resolve(config), run_dir=run_dir, observer=observer, engine="inline")
    observer.close()
    assert summary == json.loads(run_dir.summary_path.read_text())
    assert summary["accuracy"].keys() == {"before", "after", "unlabelled", "unseen"}
    assert summary["baselines"]["exact"].keys() == summary["accuracy"].keys()
    evaluated = [e for e in run_dir.events() if e["event"] == "evaluate"][-1]
    for phase in ("before", "unlabelled", "unseen"):
        assert 0 < evaluated["metrics"][f"accuracy-{phase}"] <= 1
    saved = dict(sorted(run_dir.model().items()))
    assert [len(a) for a in saved.values()] == [8, 8, 8, 8, 3, 3]  # two layers and the generic head
