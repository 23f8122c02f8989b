from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.protocols import Task
from eafl_flower.tasks.softmax import SoftmaxTask


@pytest.fixture
def task():
    return SoftmaxTask(num_features=5, num_classes=3, learning_rate=0.2)


def loss_of(task, weight, bias, rows):
    return task.evaluate((weight, bias), replace(rows, x_test=rows.x_train, y_test=rows.y_train))[0]


def test_it_is_a_task(task):
    assert isinstance(task, Task)


def test_the_first_loss_is_the_entropy_of_a_guess(task, toy_source):
    loss, _ = task.evaluate(task.init(generator(1, "init")), toy_source.partition(0))
    assert loss == pytest.approx(np.log(3))


def test_one_step_on_all_rows_follows_the_numerical_gradient(toy_source):
    rows = toy_source.partition(0)
    task = SoftmaxTask(num_features=5, num_classes=3, learning_rate=1.0, batch_size=len(rows.y_train))
    rng = generator(1, "point")
    weight, bias = rng.standard_normal((3, 5)).astype(np.float32), rng.standard_normal(3).astype(np.float32)
    (new_weight, new_bias), loss = task.train((weight, bias), rows, rng, steps=1)
    assert loss == pytest.approx(loss_of(task, weight, bias, rows), rel=1e-5)
    step = 1e-2
    for old, new in ((weight, new_weight), (bias, new_bias)):
        for index in np.ndindex(old.shape):
            at = old[index]
            old[index] = at + step
            up = loss_of(task, weight, bias, rows)
            old[index] = at - step
            down = loss_of(task, weight, bias, rows)
            old[index] = at
            # float32 losses of about 1 carry 1e-7, so the central difference carries 1e-5 besides its step²
            assert old[index] - new[index] == pytest.approx((up - down) / (2 * step), abs=3e-4)


def test_training_lowers_the_loss_and_leaves_the_given_arrays_alone(task, toy_source):
    rows = toy_source.partition(0)
    initial = task.init(generator(1, "init"))
    arrays, _ = task.train(initial, rows, generator(1, "train"), epochs=10)
    assert task.evaluate(arrays, rows)[0] < 0.7 * task.evaluate(initial, rows)[0]
    assert not any(a.any() for a in initial)


def test_equal_generators_give_equal_arrays(task, toy_source):
    rows, initial = toy_source.partition(0), task.init(generator(1, "init"))
    first, _ = task.train(initial, rows, generator(1, "train"), epochs=2)
    second, _ = task.train(initial, rows, generator(1, "train"), epochs=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_frozen_arrays_do_not_move(toy_source):
    task = SoftmaxTask(num_features=5, num_classes=3, weight_decay=0.1)
    initial = (np.ones((3, 5), np.float32), np.ones(3, np.float32))
    (weight, bias), _ = task.train(initial, toy_source.partition(0), generator(1, "t"), epochs=1, first_trained=1)
    assert np.array_equal(weight, initial[0])
    assert not np.array_equal(bias, initial[1])


def test_a_task_without_test_rows_scores_zero(task, toy_source):
    rows = toy_source.partition(0)
    empty = replace(rows, x_test=rows.x_test[:0], y_test=rows.y_test[:0])
    assert task.evaluate(task.init(generator(1, "init")), empty) == (0.0, {"accuracy": 0.0})


def test_rows_of_another_data_set_are_refused(task, toy_source):
    rows = toy_source.partition(0)
    arrays = task.init(generator(1, "init"))
    with pytest.raises(DataError, match=r"expected \(n, 5\) features"):
        task.train(arrays, replace(rows, x_train=rows.x_train[:, :4]), generator(1, "t"), epochs=1)
    with pytest.raises(DataError, match="labels from 0 to 3: expected 0 to 2"):
        task.evaluate(arrays, replace(rows, y_test=np.arange(len(rows.y_test)) % 4))


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="num_features = 0: expected an integer of at least 1"):
        SoftmaxTask(num_features=0, num_classes=3)
