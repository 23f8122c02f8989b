import sys
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.config.parts import part_class, part_names
from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, DataError, ProtocolError
from eafl_flower.heads.newcomer import newcomer
from eafl_flower.protocols import Task
from eafl_flower.tasks import torch_task
from eafl_flower.tasks.images.cnn import CNN, CNNTask
from eafl_flower.tasks.images.size import ImageSize
from eafl_flower.tasks.images.vision_transformer import VisionTransformer, VisionTransformerTask
from eafl_flower.tasks.optimizers import ADADELTA_CONSTANTS
from eafl_flower.tasks.training import Training
from eafl_flower.types import Rows

torch = pytest.importorskip("torch")

SIZE = ImageSize(6, 8, 2)
OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
}


def make(**settings):
    settings = {"channels": 8, "hidden": 16, "batch_size": 8, **settings}
    return CNNTask(num_features=96, num_classes=3, image_size=SIZE, **settings)


def transformer(**settings):
    settings = {"patch": 2, "width": 8, "heads": 2, "depth": 1, "batch_size": 8, **settings}
    return VisionTransformerTask(num_features=96, num_classes=3, image_size=SIZE, **settings)


@pytest.fixture
def rows():
    """Images brighter in one of three stripes: 20 training rows, a batch of 8, one of 8 and one of 4."""
    rng = generator(1, "rows")
    y = rng.integers(0, 3, 34)
    images = rng.random((34, *SIZE), dtype=np.float32)
    for image, label in zip(images, y, strict=True):
        image[2 * label : 2 * label + 2] += 1.0
    x = images.reshape(34, -1)
    x.flags.writeable = False
    return Rows(x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:])


def logits(parameters, x):
    """The convolutional network, written out with channels first."""
    f = torch.nn.functional
    kernel, bias, *dense = parameters
    maps = f.relu(f.conv2d(x.reshape(-1, *SIZE).permute(0, 3, 1, 2).contiguous(), kernel, bias))
    h = f.max_pool2d(maps, 2).permute(0, 2, 3, 1).reshape(len(x), -1)
    return f.linear(f.relu(f.linear(h, dense[0], dense[1])), dense[2], dense[3])


def autograd(task, arrays, rows, rng, *, epochs, first_trained=0):
    """The same training by autograd and torch.optim, an optimiser over all arrays."""
    parameters = [torch.tensor(a, requires_grad=i >= first_trained) for i, a in enumerate(arrays)]
    further = dict(zip(("rho", "eps"), ADADELTA_CONSTANTS[task.adadelta_constants], strict=True))
    optimizer = OPTIMIZERS[task.optimizer](
        parameters[first_trained:],
        lr=task.learning_rate,
        weight_decay=task.weight_decay,
        **(further if task.optimizer == "adadelta" else {}),
    )
    x, y = torch.tensor(rows.x_train), torch.tensor(rows.y_train)
    for _ in range(epochs):
        losses = []
        for batch in torch.tensor(rng.permutation(len(y))).split(task.batch_size):
            loss = torch.nn.functional.cross_entropy(logits(parameters, x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item() * len(batch))
    return [p.detach().numpy() for p in parameters], sum(losses) / len(y)


@pytest.mark.parametrize("first_trained", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "sgd", "learning_rate": 0.1},
        {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.1},
        {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.3},
        {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.1},
        {"optimizer": "rmsprop", "learning_rate": 0.01},
        {"optimizer": "adadelta", "learning_rate": 1.0},
        {"optimizer": "adadelta", "learning_rate": 1.0, "weight_decay": 0.1, "adadelta_constants": "pytorch"},
    ],
)
def test_training_is_what_autograd_and_torch_optim_do(settings, first_trained, rows):
    task = make(**settings)
    arrays = task.init(generator(1, "init"))
    options = {"epochs": 2, "first_trained": first_trained}
    ours, loss = task.train(arrays, rows, generator(1, "train"), **options)
    theirs, their_loss = autograd(task, arrays, rows, generator(1, "train"), **options)
    for a, b in zip(ours, theirs, strict=True):
        # 6 steps in float32: some optimisers divide by the root of tiny gradients, which magnifies their rounding
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
    assert loss == pytest.approx(their_loss, rel=1e-4)


def test_scores_are_cross_entropy_and_share_of_hits_however_many_rows_there_are(rows, monkeypatch):
    task = make()
    arrays = task.init(generator(1, "init"))
    expected = logits([torch.tensor(a) for a in arrays], torch.tensor(rows.x_test))
    labels = torch.tensor(rows.y_test)
    for at_once in (256, 5):
        monkeypatch.setattr(torch_task, "ROWS_AT_ONCE", at_once)
        loss, scores = task.evaluate(arrays, rows)
        assert loss == pytest.approx(float(torch.nn.functional.cross_entropy(expected, labels)), rel=1e-5)
        assert scores == {"accuracy": pytest.approx(float((expected.argmax(1) == labels).float().mean()))}
        p = task.predict(arrays, rows.x_test)
        np.testing.assert_allclose(p, torch.softmax(expected.double(), 1), rtol=1e-5)
    assert task.evaluate(arrays, replace(rows, x_test=rows.x_test[:0], y_test=rows.y_test[:0])) == (
        0.0,
        {"accuracy": 0.0},
    )


@pytest.fixture(params=[make, transformer])
def kind(request):
    return request.param


def test_it_is_a_task_whose_last_layer_is_the_head(kind):
    task = kind()
    assert isinstance(task, Task)
    arrays = task.init(generator(1, "init"))
    assert (task.num_shared, task.num_backbone) == (len(arrays), len(arrays) - 2)
    assert arrays[-1].shape == (3,)
    assert all(a.dtype == np.float32 for a in arrays)


def test_initial_arrays_depend_on_the_generator_alone_and_stay_within_glorots_bounds(kind):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (kind().init(generator(seed, "init")) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    weight = first[-2]
    bound = np.sqrt(6 / sum(weight.shape))
    assert 0 < np.abs(weight).max() <= bound
    filters = CNNTask(num_features=3072, num_classes=2, image_size=ImageSize(32, 32, 3)).init(generator(1))[0]
    bound = np.sqrt(6 / ((3 + 32) * 9))
    assert np.abs(filters).max() <= bound
    # a uniform variable on ±b has variance b²/3, estimated from n values within five standard errors
    assert filters.var() == pytest.approx(bound**2 / 3, rel=5 * np.sqrt(0.8 / filters.size))


def test_without_steps_arrays_come_back_as_they_went_in(kind, rows):
    task = kind()
    initial = task.init(generator(1, "init"))
    arrays, loss = task.train(initial, rows, generator(1, "train"), steps=0)
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(arrays, initial, strict=True))
    assert loss == 0.0


def test_training_learns_and_leaves_given_and_earlier_arrays_alone(kind, rows):
    task = kind(optimizer="adamw", learning_rate=0.01)
    initial = task.init(generator(1, "init"))
    for array in initial:
        array.flags.writeable = False  # as a workload keeps them
    before = [a.copy() for a in initial]
    first, _ = task.train(initial, rows, generator(1, "train"), epochs=30)
    copies = [a.copy() for a in first]
    assert task.evaluate(first, rows)[1]["accuracy"] > 0.8
    task.train(first, rows, generator(2, "train"), epochs=1)
    assert all(np.array_equal(a, b) for a, b in zip(initial, before, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first, copies, strict=True))
    first[0][...] = 0  # what comes out may be written to


def test_equal_generators_give_equal_arrays_whatever_was_trained_between(kind, rows):
    task = kind(optimizer="adadelta", learning_rate=1.0)
    initial = task.init(generator(1, "init"))
    first, loss = task.train(initial, rows, generator(1, "train"), epochs=2)
    task.train(first, rows, generator(3, "train"), epochs=1, first_trained=2)
    second, again = task.train(initial, rows, generator(1, "train"), epochs=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert loss == again
    other, _ = task.train(initial, rows, generator(2, "train"), epochs=2)
    assert not np.array_equal(first[-1], other[-1])


def test_as_many_steps_as_epochs_have_give_the_same_model(kind, rows):
    task = kind()
    initial = task.init(generator(1, "init"))
    by_epochs, _ = task.train(initial, rows, generator(1, "train"), epochs=2)
    by_steps, _ = task.train(initial, rows, generator(1, "train"), steps=6)
    assert all(np.array_equal(a, b) for a, b in zip(by_epochs, by_steps, strict=True))


def test_frozen_arrays_stay_and_a_wholly_frozen_model_is_only_scored(kind, rows):
    task = kind()
    initial = task.init(generator(1, "init"))
    for first in (1, 3, task.num_backbone, task.num_shared):
        arrays, loss = task.train(initial, rows, generator(1, "train"), epochs=1, first_trained=first)
        same = [np.array_equal(a, b) for a, b in zip(arrays, initial, strict=True)]
        assert all(same[:first]) and not any(same[max(first, task.num_backbone) :])
    as_test = replace(rows, x_test=rows.x_train, y_test=rows.y_train)
    assert loss == pytest.approx(task.evaluate(initial, as_test)[0], rel=1e-5)


def test_a_newcomer_adapts_the_head_alone(kind, rows):
    task = kind(optimizer="adamw", learning_rate=0.01)
    *backbone, weight, bias = task.train(task.init(generator(1, "init")), rows, generator(1), epochs=30)[0]
    fleets = (*backbone, -weight, -bias)  # the worst head for a good backbone
    found = newcomer(task, fleets, fleets, rows, seed=1, client=0, steps=100)
    assert found.steps > 0
    assert all(np.array_equal(a, b) for a, b in zip(found.model[:-2], backbone, strict=True))
    assert task.evaluate(found.model, rows)[0] < task.evaluate(fleets, rows)[0]


def test_unsuitable_rows_and_arrays_are_refused(kind, rows):
    task = kind()
    arrays = task.init(generator(1, "init"))
    with pytest.raises(DataError, match="no training rows"):
        task.train(arrays, replace(rows, x_train=rows.x_train[:0], y_train=rows.y_train[:0]), None, epochs=1)
    with pytest.raises(DataError, match=r"expected \(n, 96\) features"):
        task.evaluate(arrays, replace(rows, x_test=rows.x_test[:, :3]))
    with pytest.raises(DataError, match="expected 0 to 2"):
        task.train(arrays, replace(rows, y_train=rows.y_train + 1), None, epochs=1)
    with pytest.raises(ProtocolError, match=rf"the model has {len(arrays) - 1} arrays: expected {len(arrays)}"):
        task.evaluate(arrays[:-1], rows)
    with pytest.raises(ProtocolError, match=r"is float64 \(3,\), expected float32 \(3,\)"):
        task.train((*arrays[:-1], np.zeros(3)), rows, None, epochs=1)
    with pytest.raises(ProtocolError, match="the stored head has 1 arrays"):
        task.check_head(arrays[:1])
    with pytest.raises(ConfigError, match=r"learning_rate = 0.*batch_size = 0"):
        kind(learning_rate=0, batch_size=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_the_same_model(kind, rows):
    arrays = kind().init(generator(1, "init"))
    on_cpu, _ = kind().train(arrays, rows, generator(1, "train"), epochs=2)
    on_gpu, _ = kind(device="cuda").train(arrays, rows, generator(1, "train"), epochs=2)
    for a, b in zip(on_cpu, on_gpu, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("part", [CNN, VisionTransformer])
def test_without_torch_the_parts_are_there_and_making_a_task_names_the_extra(part, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert {"cnn", "vision-transformer"} <= set(part_names("task"))
    assert part_class("task", "cnn") is CNN
    with pytest.raises(ModuleNotFoundError, match=r"task\.name = .* needs torch: pip install 'eafl-flower\[torch\]'"):
        part().make(Training(num_features=3072, num_classes=10))
