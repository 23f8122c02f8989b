import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.heads.validation import fold_rows
from eafl_flower.models.cross_entropy import cross_entropy
from eafl_flower.models.fractal import Fractal
from eafl_flower.tasks.backend import backend_for
from eafl_flower.tasks.fractal import FractalTask
from eafl_flower.tasks.head_fit import held_out_losses
from eafl_flower.tasks.optimizers import SGD
from eafl_flower.types import Rows

HEAD = Fractal(32, 8, 1, 3)


def fit(features, labels, rng, **settings):
    options = {"backend": backend_for("cpu"), "optimizer": SGD(0.05, 0.0), "passes": 3, "batch_size": 16}
    return held_out_losses(HEAD, HEAD.init(generator(1, "init")), features, labels, rng, **{**options, **settings})


@pytest.fixture
def table():
    rng = generator(1, "table")
    labels = rng.integers(0, 3, 60)
    return (rng.standard_normal((32, 60)) + 4 * np.eye(32)[labels].T).astype(np.float32), labels


def test_without_training_every_row_has_the_loss_of_the_initial_head(table):
    features, labels = table
    losses = fit(features, labels, generator(1, "folds"), passes=0)
    views = HEAD.views(HEAD.pack(HEAD.init(generator(1, "init"))))
    logits = HEAD.forward(np, views, features[None].copy()).outputs[0].astype(np.float64)
    expected = np.log(np.exp(logits).sum(axis=0)) - logits[labels, np.arange(60)]
    held_out = fold_rows(60, generator(1, "folds"))[1]
    np.testing.assert_allclose(losses, expected[held_out.ravel()], rtol=1e-4)


def test_each_fold_is_fitted_as_if_alone(table):
    """The folds train side by side; each gives what training on its own rows alone does."""
    features, labels = table
    losses = fit(features, labels, generator(1, "folds"))
    rng = generator(1, "folds")
    train, held_out = fold_rows(60, rng)
    orders = [rng.permuted(train, axis=1) for _ in range(3)]
    for fold in range(5):
        flat = HEAD.pack(HEAD.init(generator(1, "init")))
        gradient, optimizer = np.zeros_like(flat), SGD(0.05, 0.0)
        views, gradients = HEAD.views(flat), HEAD.views(gradient)
        for order in orders:
            for i in range(0, 48, 16):
                batch = order[fold, i : i + 16]
                trace = HEAD.forward(np, views, features[None][:, :, batch])
                _, error = cross_entropy(np, trace.outputs, np.eye(3, dtype=np.float32)[labels[batch]].T[None])
                HEAD.backward(np, views, trace, error, gradients, to_inputs=False)
                optimizer.step(flat, gradient)
        rows = held_out[fold]
        logits = HEAD.forward(np, views, features[None][:, :, rows]).outputs[0].astype(np.float64)
        expected = np.log(np.exp(logits).sum(axis=0)) - logits[labels[rows], np.arange(len(rows))]
        np.testing.assert_allclose(losses[12 * fold : 12 * fold + 12], expected, rtol=1e-3, atol=1e-4)


def test_what_can_be_learned_is_learned_for_rows_that_were_not_seen(table):
    untrained = fit(*table, generator(1, "folds"), passes=0).mean()
    assert fit(*table, generator(1, "folds"), passes=20).mean() < 0.8 * untrained


def test_the_work_does_not_look_at_the_rows_of_the_task_test():
    """Only training rows decide the size of a head."""
    rng = generator(1, "rows")
    x, y = rng.standard_normal((50, 5)).astype(np.float32), rng.integers(0, 3, 50)
    task = FractalTask(num_features=5, num_classes=3, learning_rate=0.02)
    model = task.init(generator(1, "init"))
    sizes = []
    for test in (x[:0], x):
        rows = Rows(x_train=x, y_train=y, x_test=test, y_test=y[: len(test)])
        head = task.personalise(model, rows, generator(1, "personalise"), client=0)
        sizes.append([a.shape for a in head])
    assert sizes[0] == sizes[1]
