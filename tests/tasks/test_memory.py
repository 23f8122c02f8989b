"""What an optimiser remembers: pieces of a job make the whole, and what does not fit is refused."""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import ProtocolError
from eafl_flower.heads.memory import NO_MEMORY, is_kept, train_job
from eafl_flower.heads.pruning import pruned_nodes
from eafl_flower.heads.size import HeadSize
from eafl_flower.protocols import KeepsMemory
from eafl_flower.tasks import fractal, tabular
from eafl_flower.tasks.backend import torch_backend
from eafl_flower.tasks.fractal import FractalTask
from eafl_flower.tasks.optimizers import OPTIMIZERS
from eafl_flower.tasks.softmax import SoftmaxTask
from eafl_flower.tasks.tabular import TabularTask
from eafl_flower.tasks.torch_task import TorchTask

SIZES = {"num_features": 5, "num_classes": 3}
RATES = {"sgd": 0.05, "adamw": 0.01, "adadelta": 1.0, "adam": 0.01, "rmsprop": 0.01}
TASKS = {
    "softmax": lambda **s: SoftmaxTask(**SIZES, **s),
    "tabular": lambda **s: TabularTask(**SIZES, hidden=(8,), **s),
    "tabular, both": lambda **s: TabularTask(**SIZES, hidden=(8,), head="both", **s),
    "fractal": lambda **s: FractalTask(**SIZES, head="private", head_sizes=(HeadSize(1, 8),), **s),
    "fractal, both": lambda **s: FractalTask(**SIZES, head="both", head_sizes=(HeadSize(1, 8),), **s),
    "fractal, federated": lambda **s: FractalTask(**SIZES, head="federated", **s),
}
if find_spec("torch"):

    @dataclass(frozen=True, kw_only=True)
    class InTorch(TorchTask):
        def _backbone(self):
            from torch import nn

            return nn.Sequential(nn.Linear(self.num_features, 8), nn.Tanh()), 8

    TASKS["torch"] = lambda **s: InTorch(**SIZES, **s)


@pytest.fixture
def rows(toy_source):
    return toy_source.partition(0)


def started(task, rows):
    return task.personalise(task.init(generator(1, "init")), rows, generator(1, "personalise"), client=0)


def equal(first, second):
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", TASKS)
def test_epoch_by_epoch_is_all_epochs_at_once(name, optimizer, rows):
    task = TASKS[name](optimizer=optimizer, learning_rate=RATES[optimizer])
    assert isinstance(task, KeepsMemory)
    start = started(task, rows)
    whole, loss = task.train(start, rows, generator(1, "train"), epochs=4)
    model, memory, rng = start, NO_MEMORY, generator(1, "train")
    for epochs in (1, 2, 1):
        model, last, memory = task.train_on(model, rows, rng, memory, epochs=epochs)
    assert equal(model, whole)
    assert last == loss
    assert bool(memory) == bool(OPTIMIZERS[optimizer](1.0, 0.0).remembers)


@pytest.mark.parametrize("name", ["tabular", "fractal"])
def test_so_it_is_where_a_gpu_would_compute(name, rows, monkeypatch):
    pytest.importorskip("torch")
    for module in (tabular, fractal):
        monkeypatch.setattr(module, "backend_for", lambda device: torch_backend("cpu"))
    task = TASKS[name](optimizer="adadelta", learning_rate=1.0)
    start = started(task, rows)
    whole, _ = task.train(start, rows, generator(1, "train"), epochs=2)
    rng = generator(1, "train")
    model, _, memory = task.train_on(start, rows, rng, NO_MEMORY, epochs=1)
    assert all(isinstance(array, np.ndarray) for array in memory.values())
    model, _, _ = task.train_on(model, rows, rng, memory, epochs=1)
    assert equal(model, whole)


@pytest.mark.parametrize("name", TASKS)
def test_without_memory_the_next_epoch_is_another_one(name, rows):
    task = TASKS[name](optimizer="adadelta", learning_rate=1.0)
    rng = generator(1, "train")
    model, _, memory = task.train_on(started(task, rows), rows, rng, NO_MEMORY, epochs=2)
    with_it, _, _ = task.train_on(model, rows, generator(2, "train"), memory, epochs=1)
    without, _ = task.train(model, rows, generator(2, "train"), epochs=1)
    assert not equal(with_it, without)


@pytest.mark.parametrize("name", TASKS)
def test_a_memory_that_was_given_stays_as_it_is(name, rows):
    task = TASKS[name](optimizer="adam", learning_rate=0.01)
    model, _, memory = task.train_on(started(task, rows), rows, generator(1, "train"), NO_MEMORY, epochs=1)
    before = {key: array.copy() for key, array in memory.items()}
    _, _, after = task.train_on(model, rows, generator(1, "train"), memory, epochs=1)
    assert all(np.array_equal(memory[key], before[key]) for key in before)
    assert memory.keys() == after.keys()
    assert not any(np.array_equal(memory[key], after[key]) for key in memory)


def test_backbone_and_head_have_memories_of_their_own(rows):
    task = TASKS["fractal, both"](optimizer="adam", learning_rate=0.01)
    start = started(task, rows)
    _, _, memory = task.train_on(start, rows, generator(1, "train"), NO_MEMORY, epochs=2)
    batches = -(-len(rows.y_train) // task.batch_size)
    shared = sum(array.size for array in start[: task.num_shared])
    assert {key: array.shape for key, array in memory.items()} == {
        "backbone.adam.steps": (1,),
        "backbone.adam.mean": (shared,),
        "backbone.adam.square": (shared,),
        "head.adam.steps": (1,),
        "head.adam.mean": (sum(array.size for array in start[task.num_shared :]),),
        "head.adam.square": (sum(array.size for array in start[task.num_shared :]),),
    }
    assert memory["head.adam.steps"] == memory["backbone.adam.steps"] == [2 * batches]


def test_a_memory_is_kept_only_where_the_settings_say_so(rows):
    for state in ("reset", "kept"):
        task = TASKS["tabular"](optimizer="adam", learning_rate=0.01, optimizer_state=state)
        start = started(task, rows)
        model, loss, memory = train_job(task, start, rows, generator(1, "train"), NO_MEMORY, epochs=2)
        expected, their_loss = task.train(start, rows, generator(1, "train"), epochs=2)
        assert (equal(model, expected), loss, bool(memory), is_kept(task)) == (True, their_loss, *[state == "kept"] * 2)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m: {k.replace("adam", "adadelta"): v for k, v in m.items()}, r"unknown model\.adadelta\.mean"),
        (lambda m: {k: v[:-1] if "mean" in k else v for k, v in m.items()}, r'part "model": expected .* of 75 param'),
        (lambda m: {k: v.astype(float) for k, v in m.items()}, r'part "model": expected model\.adam\.steps'),
        (lambda m: {k: v for k, v in m.items() if "square" not in k}, r'part "model": expected'),
        (lambda m: {**m, "head.adam.mean": np.zeros(3, np.float32)}, r"unknown head\.adam\.mean"),
        (lambda m: {k: 0 * v for k, v in m.items()}, r'part "model": expected'),
    ],
)
def test_a_memory_of_another_task_or_optimizer_is_one_clear_error(spoil, message, rows):
    task = TabularTask(**SIZES, hidden=(8,), head="federated", optimizer="adam", learning_rate=0.01)
    model, _, memory = task.train_on(started(task, rows), rows, generator(1, "train"), NO_MEMORY, epochs=1)
    assert memory["model.adam.mean"].shape == (5 * 8 + 8 + 8 * 3 + 3,)
    with pytest.raises(ProtocolError, match=rf"remembers does not fit the task \(.*{message}.*begin afresh"):
        task.train_on(model, rows, generator(1, "train"), spoil(memory), epochs=1)


def test_a_head_whose_subtrees_go_forgets_and_the_backbone_does_not(rows):
    task = FractalTask(
        **SIZES,
        head="private",
        head_sizes=(HeadSize(2, 8),),
        prune_threshold=0.9,
        optimizer="adadelta",
        learning_rate=1.0,
    )
    model, memory, rng = started(task, rows), NO_MEMORY, generator(1, "train")
    batches, gone, steps = -(-len(rows.y_train) // task.batch_size), [()], []
    for _ in range(12):
        model, _, memory = task.train_on(model, rows, rng, memory, epochs=1)
        gone.append(tuple(pruned_nodes(model[-1])))
        steps.append((int(memory["backbone.adadelta.steps"][0]), int(memory["head.adadelta.steps"][0])))
    assert gone[-1]
    since = 0
    for epoch in range(12):
        since = 1 if gone[epoch + 1] != gone[epoch] else since + 1
        assert steps[epoch] == (batches * (epoch + 1), batches * since)
