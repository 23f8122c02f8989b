from dataclasses import replace

import numpy as np
import pytest
from optim_by_torch import optimizer_by_torch

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.protocols import Task
from eafl_flower.tasks import tabular
from eafl_flower.tasks.backend import torch_backend
from eafl_flower.tasks.softmax import SoftmaxTask
from eafl_flower.tasks.tabular import TabularTask

torch = pytest.importorskip("torch")


@pytest.fixture
def rows(toy_source):
    return toy_source.partition(0)  # 24 training rows: a batch of 16 and one of 8


@pytest.fixture(params=["numpy", "torch"])
def backend(request, monkeypatch):
    if request.param == "torch":  # what runs on a GPU, on torch's CPU
        monkeypatch.setattr(tabular, "backend_for", lambda device: torch_backend("cpu"))
    return request.param


def make(**settings):
    return TabularTask(num_features=5, num_classes=3, **{"hidden": (8, 7), **settings})


def autograd(task, arrays, rows, rng, *, epochs, first_trained=0):
    """The same training by autograd and torch.optim."""
    parameters = [torch.tensor(a, requires_grad=i >= first_trained) for i, a in enumerate(arrays)]
    trained = parameters[first_trained:]
    optimizer = optimizer_by_torch(task, trained, task.learning_rate, task.weight_decay)
    x, y = torch.tensor(rows.x_train), torch.tensor(rows.y_train)
    for _ in range(epochs):
        order = torch.tensor(rng.permutation(len(y)))
        losses = []
        for batch in order.split(task.batch_size):
            h = x[batch]
            for i in range(0, len(parameters) - 2, 2):
                h = torch.relu(torch.nn.functional.linear(h, parameters[i], parameters[i + 1]))
            logits = torch.nn.functional.linear(h, parameters[-2], parameters[-1])
            loss = torch.nn.functional.cross_entropy(logits, y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item() * len(batch))
    return [p.detach().numpy() for p in parameters], sum(losses) / len(y)


@pytest.mark.parametrize("first_trained", [0, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.1},
        {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.0},
        {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.3},
        {"optimizer": "adadelta", "learning_rate": 1.0, "weight_decay": 0.1},
        {"optimizer": "adadelta", "adadelta_constants": "pytorch", "learning_rate": 1.0},
        {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.1},
        {"optimizer": "rmsprop", "learning_rate": 0.01, "weight_decay": 0.1},
    ],
)
def test_training_is_what_autograd_and_torch_optim_do(settings, first_trained, rows, backend):
    task = make(**settings)
    arrays = task.init(generator(1, "init"))
    options = {"epochs": 3, "first_trained": first_trained}
    ours, loss = task.train(arrays, rows, generator(1, "train"), **options)
    theirs, their_loss = autograd(task, arrays, rows, generator(1, "train"), **options)
    for a, b in zip(ours, theirs, strict=True):
        # 6 steps in float32: AdamW divides by the root of tiny gradients, which magnifies their rounding
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
    assert loss == pytest.approx(their_loss, rel=1e-4)


def test_a_model_without_hidden_layers_is_softmax_regression(rows, backend):
    task = make(hidden=())
    softmax = SoftmaxTask(num_features=5, num_classes=3, learning_rate=0.1)
    arrays = softmax.init(generator(1, "init"))
    ours, loss = task.train(arrays, rows, generator(1, "train"), epochs=3)
    theirs, their_loss = softmax.train(arrays, rows, generator(1, "train"), epochs=3)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert loss == pytest.approx(their_loss, rel=1e-5)


def test_scores_are_cross_entropy_and_share_of_hits(rows, backend):
    task = make()
    arrays = task.init(generator(1, "init"))
    h = torch.tensor(rows.x_test)
    for i in (0, 2):
        h = torch.relu(torch.nn.functional.linear(h, torch.tensor(arrays[i]), torch.tensor(arrays[i + 1])))
    logits = torch.nn.functional.linear(h, torch.tensor(arrays[4]), torch.tensor(arrays[5]))
    labels = torch.tensor(rows.y_test)
    loss, scores = task.evaluate(arrays, rows)
    accuracy = scores["accuracy"]
    assert loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    assert accuracy == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_the_same_model(rows):
    options = {"learning_rate": 0.1}
    arrays = make().init(generator(1, "init"))
    on_cpu, _ = make(**options).train(arrays, rows, generator(1, "train"), epochs=3)
    on_gpu, _ = make(**options, device="cuda").train(arrays, rows, generator(1, "train"), epochs=3)
    for a, b in zip(on_cpu, on_gpu, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_it_is_a_task():
    assert isinstance(make(), Task)


def test_the_last_layer_is_the_private_head():
    assert [a.shape for a in make().init(generator(1, "init"))] == [(8, 5), (8,), (7, 8), (7,), (3, 7), (3,)]
    assert (make().num_shared, make().num_backbone) == (4, 4)
    assert (make(head="federated").num_shared, make(head="federated").num_backbone) == (6, 4)


def test_initial_values_are_those_of_a_linear_layer():
    task = TabularTask(num_features=100, num_classes=3, hidden=(400,))
    weight = task.init(generator(1, "init"))[0]
    assert weight.dtype == np.float32
    assert np.abs(weight).max() <= 0.1
    # a uniform variable on ±0.1 has variance 1/300, estimated from n values within five standard errors
    assert weight.var() == pytest.approx(1 / 300, rel=5 * np.sqrt(0.8 / weight.size))


def test_training_learns_and_leaves_the_given_arrays_alone(rows, backend):
    task = make()
    initial = task.init(generator(1, "init"))
    before = [a.copy() for a in initial]
    arrays, _ = task.train(initial, rows, generator(1, "train"), epochs=30)
    assert task.evaluate(arrays, rows)[1]["accuracy"] > 0.8
    assert all(np.array_equal(a, b) for a, b in zip(initial, before, strict=True))


def test_equal_generators_give_equal_arrays(rows, backend):
    task = make(optimizer="adamw", learning_rate=0.01)
    initial = task.init(generator(1, "init"))
    first, loss = task.train(initial, rows, generator(1, "train"), epochs=3)
    second, again = task.train(initial, rows, generator(1, "train"), epochs=3)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert loss == again
    other, _ = task.train(initial, rows, generator(2, "train"), epochs=3)
    assert not np.array_equal(first[0], other[0])


def test_as_many_steps_as_epochs_have_give_the_same_model(rows):
    initial = make().init(generator(1, "init"))
    by_epochs, _ = make().train(initial, rows, generator(1, "train"), epochs=3)
    by_steps, _ = make().train(initial, rows, generator(1, "train"), steps=6)
    assert all(np.array_equal(a, b) for a, b in zip(by_epochs, by_steps, strict=True))


def test_no_steps_change_nothing(rows):
    initial = make().init(generator(1, "init"))
    arrays, loss = make().train(initial, rows, generator(1, "train"), steps=0)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, initial, strict=True))
    assert loss == 0.0


def test_unsuitable_rows_are_refused(rows):
    task, arrays = make(), make().init(generator(1, "init"))
    with pytest.raises(DataError, match="no training rows"):
        task.train(arrays, replace(rows, x_train=rows.x_train[:0], y_train=rows.y_train[:0]), None, epochs=1)
    with pytest.raises(DataError, match=r"expected \(n, 5\) features"):
        task.evaluate(arrays, replace(rows, x_test=rows.x_test[:, :3]))
    with pytest.raises(DataError, match="expected 0 to 2"):
        task.train(arrays, replace(rows, y_train=rows.y_train + 1), None, epochs=1)


def test_all_wrong_settings_are_reported_together():
    with pytest.raises(ConfigError, match=r"optimizer = 'lbfgs'.*head = 'none'.*batch_size = 0"):
        make(head="none", optimizer="lbfgs", batch_size=0)
