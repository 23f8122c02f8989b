import doctest

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import DataError
from eafl_flower.tasks import probabilities as module
from eafl_flower.tasks.probabilities import probabilities
from eafl_flower.tasks.softmax import SoftmaxTask
from eafl_flower.tasks.tabular import TabularTask

SIZES = {"num_features": 5, "num_classes": 3}


@pytest.fixture(params=[TabularTask(**SIZES), TabularTask(**SIZES, head="federated"), SoftmaxTask(**SIZES)])
def trained(request, toy_source):
    task, rows = request.param, toy_source.partition(0)
    arrays, _ = task.train(task.init(generator(1, "init")), rows, generator(1, "train"), epochs=3)
    return task, arrays, rows


def test_the_examples_are_true():
    assert doctest.testmod(module).failed == 0


def test_logits_one_rounding_step_apart_keep_their_order():
    largest = np.float32(900)
    z = np.array([[np.nextafter(largest, np.float32(0)), largest]], np.float32)
    assert probabilities(z).argmax() == 1


def test_the_likeliest_class_is_the_one_that_counts_as_predicted(trained):
    task, arrays, rows = trained
    p = task.predict(arrays, rows.x_test)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    loss, scores = task.evaluate(arrays, rows)
    accuracy = scores["accuracy"]
    assert (p.argmax(axis=1) == rows.y_test).mean() == accuracy
    picked = p[np.arange(len(rows.y_test)), rows.y_test]
    assert -np.log(picked).mean() == pytest.approx(loss, rel=1e-4)  # float32 there


def test_there_may_be_no_rows_but_no_other_features(trained):
    task, arrays, rows = trained
    assert task.predict(arrays, rows.x_test[:0]).shape == (0, 3)
    with pytest.raises(DataError, match=r"shape \(.*, 4\): expected \(n, 5\) features"):
        task.predict(arrays, rows.x_test[:, :4])
