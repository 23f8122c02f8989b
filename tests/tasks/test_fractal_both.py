"""A generic head beside the private ones, of the fractal network."""

from dataclasses import replace

import numpy as np
import pytest
from fractal_by_torch import OPTIMIZERS, Block, ByTorch, close, equal, make, started

from eafl_flower.core.rng import generator
from eafl_flower.core.threads import one_thread
from eafl_flower.heads.size import HeadSize
from eafl_flower.tasks import fractal
from eafl_flower.tasks.backend import torch_backend

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    one_thread()  # as a client computes


@pytest.fixture
def rows(toy_source):
    return toy_source.partition(0)


@pytest.fixture(params=["numpy", "torch"])
def backend(request, monkeypatch):
    if request.param == "torch":  # what runs on a GPU, on torch's CPU
        monkeypatch.setattr(fractal, "backend_for", lambda device: torch_backend("cpu"))
    return request.param


class BothByTorch(ByTorch):
    """The same with a generic head between backbone and private head."""

    def __init__(self, task, arrays, size):
        fleets = len(task.backbone.shapes)
        super().__init__(task, (*arrays[:fleets], *arrays[task.num_shared :]), size)
        self.generic = torch.nn.Sequential(Block(32, 16, 1), torch.nn.Linear(16, task.num_classes))
        with torch.no_grad():
            for parameter, array in zip(self.generic.parameters(), arrays[fleets : task.num_shared], strict=True):
                parameter.copy_(torch.tensor(array))
        self.shared = [*self.backbone.parameters(), *self.generic.parameters()]
        self.parameters = [*self.shared, *self.head.parameters()]

    def run_pass(self, rows, rng, optimizer):
        x, y = torch.tensor(rows.x_train), torch.tensor(rows.y_train)
        there = torch.unique(y)  # 0 .. some class: they keep their numbers
        for batch in torch.tensor(rng.permutation(len(y))).split(self.task.batch_size):
            features = self.backbone(x[batch])
            loss = torch.nn.functional.cross_entropy(self.head(features), y[batch])
            loss = loss + torch.nn.functional.cross_entropy(self.generic(features)[:, there], y[batch])
            for parameter in self.parameters:
                parameter.grad = None
            loss.backward()
            optimizer.step()


@pytest.fixture
def two_classes(rows):
    kept = rows.y_train < 2
    return replace(rows, x_train=rows.x_train[kept], y_train=rows.y_train[kept])


@pytest.mark.parametrize("settings", OPTIMIZERS)
def test_a_generic_head_is_trained_with_the_backbone_on_the_classes_that_are_there(settings, two_classes, backend):
    task = make(head="both", head_sizes=(HeadSize(2, 8),), **settings)
    arrays = started(task, two_classes)
    theirs, rng = BothByTorch(task, arrays, HeadSize(2, 8)), generator(1, "train")
    above, below = theirs.optimizer(theirs.head.parameters()), theirs.optimizer(theirs.shared)
    for _ in range(3):
        theirs.run_pass(two_classes, rng, above)
        theirs.run_pass(two_classes, rng, below)
    close(task.train(arrays, two_classes, generator(1, "train"), epochs=3)[0], theirs.arrays())
    theirs, rng = BothByTorch(task, arrays, HeadSize(2, 8)), generator(2, "train")
    together = theirs.optimizer(theirs.parameters)
    for _ in range(2):
        theirs.run_pass(two_classes, rng, together)
    steps = 2 * -(-len(two_classes.y_train) // task.batch_size)
    close(task.train(arrays, two_classes, generator(2, "train"), steps=steps)[0], theirs.arrays())


def test_what_a_client_lacks_it_does_not_unlearn_for_others(two_classes):
    task = make(head="both")
    arrays = started(task, two_classes)
    new, _ = task.train(arrays, two_classes, generator(1, "train"), epochs=2)
    weight, bias = task.num_shared - 2, task.num_shared - 1
    for place in (weight, bias):
        assert np.array_equal(new[place][2], arrays[place][2])
        assert not np.array_equal(new[place][:2], arrays[place][:2])


def test_who_has_no_head_of_his_own_goes_by_the_fleets(rows):
    both, federated = make(head="both"), make(head="federated", head_sizes=())
    shared = both.init(generator(1, "init"))[: both.num_shared]
    assert both.num_shared == len(shared) == len(federated.init(generator(1, "init")))
    assert both.evaluate(shared, rows) == federated.evaluate(shared, rows)
    assert np.array_equal(both.predict(shared, rows.x_test), federated.predict(shared, rows.x_test))
    own = started(both, rows)
    private = make().evaluate(own[:15] + own[both.num_shared :], rows)
    assert both.evaluate(own, rows) == private  # a client with a head of its own goes by that alone


def test_all_begin_alike_whatever_kind_of_head_they_have(rows):
    private, both = (started(make(head=h), rows) for h in ("private", "both"))
    assert equal(private[:15], both[:15])
    assert equal(private[15:], both[make(head="both").num_shared :])
