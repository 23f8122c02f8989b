"""A vehicle that never trained goes by the fleet's head, and away from it only as far as its own rows bear out."""

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.heads.blocks import BLOCKS, FEWEST_ROWS
from eafl_flower.heads.newcomer import adapted, fitting_steps, has_fleets_head, newcomer
from eafl_flower.heads.size import HeadSize
from eafl_flower.tasks.fractal import FractalTask
from eafl_flower.tasks.softmax import SoftmaxTask
from eafl_flower.tasks.tabular import TabularTask
from eafl_flower.types import Rows

FEATURES, CLASSES, STEPS = 5, 3, 50


@pytest.fixture(scope="module")
def task():
    sizes = (HeadSize(0, 16),)
    return FractalTask(
        num_features=FEATURES, num_classes=CLASSES, head="both", head_sizes=sizes, optimizer="adamw", learning_rate=0.01
    )


@pytest.fixture(scope="module")
def shared(task):
    """Arrays of a fleet that has learnt which of the first three features is the largest."""
    initial = task.init(generator(1, "init"))
    model = task.personalise(initial, labelled(400, 1), generator(1, "personalise", 0), client=0)
    return task.train(model, labelled(400, 1), generator(1, "train"), steps=400)[0][: task.num_shared]


def labelled(count, seed, *, turned=0):
    """Return rows whose class is the largest of three features, the classes renamed in turn."""
    rng = generator(seed, "rows")
    x = rng.standard_normal((2 * count, FEATURES)).astype(np.float32)
    y = (x[:, :CLASSES].argmax(1) + turned) % CLASSES
    return Rows(x_train=x[:count], y_train=y[:count], x_test=x[count:], y_test=y[count:])


def of(task, shared, rows, **settings):
    own = shared + shared[task.num_backbone :]
    return adapted(task, shared, own, rows, **{"seed": 1, "client": 7, "steps": STEPS, **settings})


def is_the_fleets(found, shared):
    return len(found.model) == len(shared) and all(a is b for a, b in zip(found.model, shared, strict=True))


def accuracy(task, model, rows):
    return task.evaluate(model, rows)[1]["accuracy"]


def test_a_vehicle_like_the_fleet_scores_as_the_fleet_does(task, shared):
    rows = labelled(60, 2)
    assert accuracy(task, shared, rows) > 0.85
    assert accuracy(task, of(task, shared, rows).model, rows) >= accuracy(task, shared, rows) - 0.05


def test_where_labels_mean_something_else_the_head_is_adapted(task, shared):
    rows = labelled(100, 3, turned=1)
    found = of(task, shared, rows)
    assert 0 < found.steps <= STEPS
    assert accuracy(task, shared, rows) < 0.15
    assert accuracy(task, found.model, rows) > 0.7
    backbone = task.num_backbone
    assert all(np.array_equal(a, b) for a, b in zip(found.model[:backbone], shared[:backbone], strict=True))
    assert not np.array_equal(found.model[-1], shared[-1])


def test_where_the_fleets_head_is_right_hardly_anybody_leaves_it(task, shared):
    """Labels drawn from its own probabilities: nothing can lower the loss in the mean.

    Of the t-distribution with three degrees of freedom, 1.25 % lie below -4.18. The best of four lengths counts, so at
    most 5 % of the vehicles adapt: of 40 no more than 6, three standard deviations above their mean.
    """
    steps = []
    for client in range(40):
        rng = generator(client, "drawn")
        x = rng.standard_normal((30, FEATURES)).astype(np.float32)
        y = (task.predict(shared, x).cumsum(axis=1) < rng.random((30, 1))).sum(axis=1).clip(max=CLASSES - 1)
        rows = Rows(x_train=x, y_train=y, x_test=x[:0], y_test=y[:0])
        steps.append(of(task, shared, rows, client=client).steps)
    assert sum(map(bool, steps)) <= 6


def test_what_did_not_last_is_not_learnt(task, shared):
    """Renamed classes in the first two blocks, the fleet's in the last three."""
    first, then = labelled(40, 5, turned=1), labelled(60, 6)
    x, y = np.concatenate([first.x_train, then.x_train]), np.concatenate([first.y_train, then.y_train])
    rows = Rows(x_train=x, y_train=y, x_test=then.x_test, y_test=then.y_test)
    assert accuracy(task, of(task, shared, rows).model, rows) >= accuracy(task, shared, rows) - 0.01


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (labelled(0, 1), "goes by the fleet's head as it is: of 0 labelled rows it cannot tell"),
        (
            labelled(FEWEST_ROWS - 1, 1, turned=1),
            f"of {FEWEST_ROWS - 1} labelled rows it cannot tell whether adapting helps, only of {FEWEST_ROWS}",
        ),
    ],
)
def test_with_too_few_rows_it_goes_by_the_fleets_head(task, shared, rows, why):
    found = of(task, shared, rows)
    assert is_the_fleets(found, shared)
    assert found.steps == 0
    assert why in found.told


def test_with_rows_of_one_class_it_goes_by_the_fleets_head(task, shared):
    rows = labelled(80, 4)
    one = rows.y_train == 2
    alike = Rows(x_train=rows.x_train[one], y_train=rows.y_train[one], x_test=rows.x_test, y_test=rows.y_test)
    found = of(task, shared, alike)
    assert is_the_fleets(found, shared)
    assert "of one class" in found.told


def test_without_steps_nothing_is_adapted(task, shared):
    found = of(task, shared, labelled(100, 3, turned=1), steps=0)
    assert is_the_fleets(found, shared)


def test_it_is_a_function_of_seed_client_and_rows(task, shared):
    rows, before = labelled(100, 3, turned=1), [a.copy() for a in shared]
    first, again, other = (of(task, shared, rows, client=c).model for c in (7, 7, 8))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(shared, before, strict=True))


def test_where_no_head_travels_a_fresh_one_is_fitted():
    task = FractalTask(num_features=FEATURES, num_classes=CLASSES, head="private", head_sizes=(HeadSize(0, 16),))
    initial, rows = task.init(generator(1, "init")), labelled(30, 2)
    assert not has_fleets_head(task)
    model = newcomer(task, initial[: task.num_shared], initial, rows, seed=1, client=7, steps=3).model
    start = task.personalise(initial, rows, generator(1, "personalise", 7), client=7)
    fresh, _ = task.train(start, rows, generator(1, "unseen", 7), steps=3, first_trained=task.num_backbone)
    assert all(np.array_equal(a, b) for a, b in zip(model, fresh, strict=True))


@pytest.mark.parametrize("layers", ["both", "federated", "softmax", "tabular", "tabular-both"])
def test_a_head_that_travels_is_where_a_newcomer_starts_in_every_task(layers):
    """A fleet that is right is followed, one that is wrong is left: whatever the task is made of."""
    sizes = {"num_features": FEATURES, "num_classes": CLASSES}
    of_layers = {
        "both": lambda: FractalTask(**sizes, head="both", optimizer="adamw", learning_rate=0.01),
        "federated": lambda: FractalTask(**sizes, head="federated", optimizer="adamw", learning_rate=0.01),
        "softmax": lambda: SoftmaxTask(**sizes),
        "tabular": lambda: TabularTask(**sizes, head="federated"),
        "tabular-both": lambda: TabularTask(**sizes, head="both"),
    }
    task = of_layers[layers]()
    initial = task.init(generator(1, "init"))
    model = task.personalise(initial, labelled(400, 1), generator(1, "personalise", 0), client=0)
    fleets = task.train(model, labelled(400, 1), generator(1, "train"), steps=400)[0][: task.num_shared]
    alike, turned = labelled(60, 2), labelled(100, 3, turned=1)
    how = {"seed": 1, "client": 7, "steps": STEPS}
    assert has_fleets_head(task)
    followed = newcomer(task, fleets, initial, alike, **how)
    assert accuracy(task, followed.model, alike) >= accuracy(task, fleets, alike) - 0.05
    left = newcomer(task, fleets, initial, turned, **how)
    assert left.steps > 0
    assert accuracy(task, left.model, turned) > accuracy(task, fleets, turned) + 0.2


def test_the_search_ends_where_longer_is_worse(task, shared):
    """Every length is trained on from the one before, so the first that is worse is the last that is looked at."""
    trained = []

    class Counting:
        num_backbone = task.num_backbone
        evaluate = staticmethod(task.evaluate)

        def train(self, arrays, rows, rng, *, steps, first_trained):
            trained.append(steps)
            return task.train(arrays, rows, rng, steps=steps, first_trained=first_trained)

    own = shared + shared[task.num_backbone :]
    rows = labelled(60, 2)
    noise = np.random.default_rng(3).integers(0, CLASSES, 60)
    worse = Rows(x_train=rows.x_train, y_train=noise, x_test=rows.x_test, y_test=rows.y_test)
    how = {"seed": 1, "client": 7, "steps": 1000, "first_trained": task.num_backbone}
    fitting_steps(Counting(), own, worse, **how)
    assert len(trained) % (BLOCKS - 1) == 0
    assert sum(trained) < 1000 * (BLOCKS - 1)


@pytest.mark.parametrize("head", ["private", "both", "federated"])
def test_without_a_labelled_row_there_is_a_model_and_a_word(head):
    task = FractalTask(num_features=FEATURES, num_classes=CLASSES, head=head)
    initial, rows = task.init(generator(1, "init")), labelled(0, 2)
    found = newcomer(task, initial[: task.num_shared], initial, rows, seed=1, client=7, steps=3)
    assert found.unjudged and found.unjudged in found.told
    assert found.steps == 0
    assert task.predict(found.model, labelled(5, 1).x_test).shape == (5, CLASSES)


def test_a_class_that_the_fleet_never_had_is_learnt_where_rows_bear_it_out(task):
    """The fleet has had two of three classes only; a newcomer has all."""
    rows = labelled(400, 1)
    known = rows.y_train < 2
    two = Rows(x_train=rows.x_train[known], y_train=rows.y_train[known], x_test=rows.x_test, y_test=rows.y_test)
    initial = task.init(generator(1, "init"))
    model = task.personalise(initial, two, generator(1, "personalise", 0), client=0)
    fleets = task.train(model, two, generator(1, "train"), steps=400)[0][: task.num_shared]
    own = labelled(120, 4)
    found = newcomer(task, fleets, initial, own, seed=1, client=7, steps=200)
    third = own.y_test == 2
    right = task.predict(found.model, own.x_test).argmax(1) == own.y_test
    assert found.steps > 0
    assert right[third].mean() > 0.5
    assert right.mean() > accuracy(task, fleets, own)
