from dataclasses import replace

import numpy as np
import pytest
from fractal_by_torch import OPTIMIZERS, SMALL, ByTorch, close, equal, make, started

from eafl_flower.core.rng import generator
from eafl_flower.core.threads import one_thread
from eafl_flower.errors import ConfigError, DataError, ProtocolError
from eafl_flower.heads.pruning import PATIENCE, new_record, pruned_nodes
from eafl_flower.heads.size import HeadSize, size_of
from eafl_flower.protocols import Task
from eafl_flower.tasks import fractal
from eafl_flower.tasks.backend import torch_backend
from eafl_flower.tasks.stored_head import structure_of
from eafl_flower.types import Rows

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    one_thread()  # as a client computes


@pytest.fixture
def rows(toy_source):
    return toy_source.partition(0)  # 24 training rows: a batch of 16 and one of 8


@pytest.fixture(params=["numpy", "torch"])
def backend(request, monkeypatch):
    if request.param == "torch":  # what runs on a GPU, on torch's CPU
        monkeypatch.setattr(fractal, "backend_for", lambda device: torch_backend("cpu"))
    return request.param


@pytest.mark.parametrize("size", [HeadSize(0, 16), HeadSize(2, 8)], ids=str)
@pytest.mark.parametrize("settings", OPTIMIZERS)
def test_an_epoch_is_a_pass_for_the_head_and_one_for_the_backbone(settings, size, rows, backend):
    task = make(head_sizes=(size,), **settings)
    arrays = started(task, rows)
    theirs, rng = ByTorch(task, arrays, size), generator(1, "train")
    above, below = theirs.optimizer(theirs.head.parameters()), theirs.optimizer(theirs.backbone.parameters())
    for _ in range(3):
        theirs.run_pass(rows, rng, above)
        their_loss = theirs.run_pass(rows, rng, below)
    ours, loss = task.train(arrays, rows, generator(1, "train"), epochs=3)
    close(ours, theirs.arrays())
    assert loss == pytest.approx(their_loss, rel=1e-3)


@pytest.mark.parametrize("settings", OPTIMIZERS)
@pytest.mark.parametrize("frozen", [False, True])
def test_steps_train_all_that_is_not_frozen_together(settings, frozen, rows, backend):
    task = make(**settings)
    arrays = started(task, rows)
    theirs, rng = ByTorch(task, arrays, SMALL[0]), generator(1, "train")
    optimizer = theirs.optimizer(list(theirs.head.parameters()) if frozen else theirs.parameters)
    for _ in range(2):
        their_loss = theirs.run_pass(rows, rng, optimizer)
    ours, loss = task.train(arrays, rows, generator(1, "train"), steps=4, first_trained=15 if frozen else 0)
    close(ours, theirs.arrays())
    assert loss == pytest.approx(their_loss, rel=1e-3)
    if frozen:
        assert equal(ours[:15], arrays[:15])


def test_a_federated_head_trains_with_the_backbone(rows):
    task = make(head="federated", weight_decay=0.1)
    arrays = started(task, rows)
    theirs, rng = ByTorch(task, arrays, SMALL[0]), generator(1, "train")
    optimizer = theirs.optimizer(theirs.parameters)
    for _ in range(2):
        theirs.run_pass(rows, rng, optimizer)
    close(task.train(arrays, rows, generator(1, "train"), epochs=2)[0], theirs.arrays())


def test_each_phase_leaves_the_other_part_as_it_is(rows, monkeypatch):
    """The head phase leaves the shared arrays equal bit for bit, the backbone phase the head."""
    task = make(head_sizes=(HeadSize(2, 8),), weight_decay=0.1)
    seen, train_pass = [], fractal.TwoPhases.train_pass

    def watched(model, *args, **optimizer):
        before = tuple(a.copy() for a in model.arrays())
        loss = train_pass(model, *args, **optimizer)
        changed = [not np.array_equal(a, b) for a, b in zip(before, model.arrays(), strict=True)]
        seen.append((*optimizer, any(changed[:15]), any(changed[15:])))
        return loss

    monkeypatch.setattr(fractal.TwoPhases, "train_pass", watched)
    task.train(started(task, rows), rows, generator(1, "train"), epochs=2)
    assert seen == [("head", False, True), ("backbone", True, False)] * 2


def test_scores_are_cross_entropy_and_share_of_hits(rows, backend):
    task = make()
    arrays = started(task, rows)
    theirs = ByTorch(task, arrays, SMALL[0])
    logits = theirs.head(theirs.backbone(torch.tensor(rows.x_test))).detach()
    labels = torch.tensor(rows.y_test)
    loss, scores = task.evaluate(arrays, rows)
    accuracy = scores["accuracy"]
    assert loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-4)
    assert accuracy == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    expected = torch.softmax(logits, 1).numpy()
    np.testing.assert_allclose(task.predict(arrays, rows.x_test), expected, rtol=1e-4, atol=1e-6)


def test_it_is_a_task():
    assert isinstance(make(), Task)


def test_the_shared_arrays_do_not_depend_on_the_head(rows):
    sizes = ((), SMALL, (HeadSize(4, 32), HeadSize(0, 16)))
    layouts = [[a.shape for a in make(head_sizes=s).init(generator(1, "init"))[:15]] for s in sizes]
    assert layouts[0] == layouts[1] == layouts[2]
    assert {make(head_sizes=s).num_shared for s in sizes} == {15}
    federated = make(head="federated")
    assert (federated.num_backbone, federated.num_shared) == (15, len(federated.init(generator(1, "init"))))


def test_heads_are_given_to_the_clients_in_turn(toy_source):
    task = make(head_sizes=(HeadSize(1, 8), HeadSize(3, 24)))
    models = [started(task, toy_source.partition(c), client=c) for c in range(4)]
    assert [size_of(m[15:])[:2] for m in models] == [(1, 8), (3, 24)] * 2
    assert all(equal(m[:15], models[0][:15]) for m in models)
    assert equal(models[1], models[3])  # equal sizes start equal


def test_equal_sizes_start_equal_whatever_else_is_set(rows):
    one = started(make(head_sizes=(HeadSize(2, 24),)), rows)
    other = started(make(head_sizes=(HeadSize(1, 16), HeadSize(2, 24))), rows, client=1)
    assert equal(one, other)


def test_without_sizes_few_rows_take_the_smallest_head(rows):
    assert size_of(started(make(head_sizes=()), rows)[15:])[:2] == (0, 16)


def linear_rows(count, width=5):
    """Rows whose class is a linear function of the features."""
    rng = generator(1, "linear")
    x = rng.standard_normal((count, width)).astype(np.float32)
    y = (x @ rng.standard_normal((width, 3))).argmax(axis=1)
    return Rows(x_train=x, y_train=y, x_test=x[:0], y_test=y[:0])


def test_a_linear_rule_takes_a_small_head_though_its_features_are_rich():
    rows, task = linear_rows(200), make(head_sizes=(), batch_size=32, learning_rate=0.1)
    assert task.prior_size(rows).depth == 4
    assert size_of(started(task, rows)[15:])[0] == 0


def test_the_size_is_a_function_of_the_generator_alone():
    rows, task = linear_rows(100), make(head_sizes=(), batch_size=32)
    assert equal(started(task, rows), started(task, rows))


def test_a_size_is_validated_once_for_the_same_backbone(monkeypatch):
    fits, fit = [], fractal.validation_losses
    monkeypatch.setattr(fractal, "validation_losses", lambda *a, **o: fits.append(1) or fit(*a, **o))
    rows, task = linear_rows(60), make(head_sizes=(), batch_size=32)
    first = started(task, rows)
    count = len(fits)
    assert count > 0
    assert equal(first, started(task, rows))
    assert len(fits) == count
    moved = tuple(a + np.float32(0.1) for a in first[:15]) + task.init(generator(1, "init"))[15:]
    task.personalise(moved, rows, generator(1, "personalise", 0), client=0)
    assert len(fits) > count


def test_training_learns_and_leaves_the_given_arrays_alone(rows, backend):
    task = make(learning_rate=0.05, head_sizes=(HeadSize(1, 16),))
    initial = started(task, rows)
    before = [a.copy() for a in initial]
    arrays, _ = task.train(initial, rows, generator(1, "train"), epochs=40)
    assert task.evaluate(arrays, rows)[1]["accuracy"] > 0.8
    assert equal(initial, before)


def test_equal_generators_give_equal_arrays(rows, backend):
    task = make(optimizer="adamw", learning_rate=0.01)
    initial = started(task, rows)
    first, loss = task.train(initial, rows, generator(1, "train"), epochs=3)
    second, again = task.train(initial, rows, generator(1, "train"), epochs=3)
    assert equal(first, second)
    assert loss == again
    assert not equal(first, task.train(initial, rows, generator(2, "train"), epochs=3)[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_the_same_model(rows):
    arrays = started(make(), rows)
    on_cpu, _ = make().train(arrays, rows, generator(1, "train"), epochs=3)
    on_gpu, _ = make(device="cuda").train(arrays, rows, generator(1, "train"), epochs=3)
    close(on_cpu, on_gpu)


def dulled(task, rows, node=2):
    """A model whose head has a subtree without any gain: its output is constant."""
    arrays = list(started(task, rows))
    kinds = [
        kind for kind, _ in structure_of(arrays[15:], task.num_classes).entries
    ]  # of a head of depth 1: leaf, leaf, merge
    leaf = 0 if node == 2 else 3
    assert kinds[leaf : leaf + 3] == [0, 1, 2]
    arrays[15 + leaf + 1] = np.zeros_like(arrays[15 + leaf + 1])
    arrays[15 + leaf + 2] = np.ones_like(arrays[15 + leaf + 2])
    return tuple(arrays)


def test_a_dull_subtree_is_pruned_after_the_warm_up_and_several_looks(rows, backend):
    task = make(prune_threshold=0.05, learning_rate=1e-6)
    arrays = dulled(task, rows)
    counts = []
    for job in range(PATIENCE + 2):
        arrays, _ = task.train(arrays, rows, generator(1, "train", job), epochs=1)
        counts.append(len(pruned_nodes(arrays[-1])))
    assert counts == [0] * PATIENCE + [1, 1]
    assert pruned_nodes(arrays[-1]) == (2,)
    assert arrays[-1][0] == PATIENCE + 2  # epochs


def test_pruning_a_dull_subtree_keeps_layout_outputs_and_scores(rows, backend):
    task = make(prune_threshold=0.05, learning_rate=1e-7)
    arrays = full = dulled(task, rows)
    for job in range(PATIENCE + 1):
        arrays, _ = task.train(arrays, rows, generator(1, "train", job), epochs=1)
    task.check_head(arrays[15:])
    assert [a.shape for a in arrays[:15]] == [a.shape for a in full[:15]]
    before, after = task.predict(full, rows.x_test), task.predict(arrays, rows.x_test)
    assert before.shape == after.shape
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-4)
    depth, width, values = size_of(arrays[15:])
    assert (depth, width) == (1, 8)
    assert values == HeadSize(1, 8).parameters(3) - (8 * 32 + 16) + 8  # a leaf less, a constant more


def test_a_pruned_head_goes_on_learning(rows, backend):
    task = make(prune_threshold=0.05, learning_rate=1e-6)
    arrays = dulled(task, rows)
    for job in range(PATIENCE + 1):
        arrays, _ = task.train(arrays, rows, generator(1, "train", job), epochs=1)
    quick = replace(task, learning_rate=0.05)
    _, first = quick.train(arrays, rows, generator(1, "train"), epochs=1)
    arrays, last = quick.train(arrays, rows, generator(1, "train"), epochs=20)
    assert pruned_nodes(arrays[-1]) == (2,)
    assert last < 0.5 * first


def test_a_head_whose_subtrees_all_work_is_not_pruned(rows):
    task = make(prune_threshold=0.01, head_sizes=(HeadSize(2, 16),))
    arrays = started(task, rows)
    for job in range(PATIENCE + 3):
        arrays, _ = task.train(arrays, rows, generator(1, "train", job), epochs=1)
    assert pruned_nodes(arrays[-1]) == ()


def test_a_fit_of_so_many_steps_prunes_nothing(rows):
    task = make(prune_threshold=1.0)
    arrays = started(task, rows)
    for _ in range(PATIENCE + 2):
        arrays, _ = task.train(arrays, rows, generator(1, "train"), steps=4, first_trained=15)
    assert not arrays[-1].any()


def foreign_heads(task, rows):
    head = started(task, rows)[15:]
    yield head[:-1]
    yield head[1:]
    yield ()
    yield (np.zeros((2, 2), np.float32),)
    yield tuple(a.astype(np.float64) for a in head)
    yield (*head, new_record(2))
    yield (*head, new_record(30)[: 1 << 20])
    yield (*head, np.int32(5).reshape(()))
    yield (*head, np.array([0, 0, -1, 0], np.int32))  # says that a subtree was pruned which is there
    yield started(make(num_classes=4), rows)[15:]
    yield tuple(np.swapaxes(a, 0, -1) for a in head)


def test_a_stored_head_that_is_not_one_of_this_task_is_refused(rows):
    task = make()
    task.check_head(started(task, rows)[15:])
    task.check_head((*started(task, rows)[15:], new_record(1)))
    for head in foreign_heads(task, rows):
        with pytest.raises(ProtocolError, match=r"the stored head has arrays|damaged"):
            task.check_head(head)


def test_unsuitable_rows_are_refused(rows):
    task, arrays = make(), started(make(), rows)
    with pytest.raises(DataError, match="no training rows"):
        task.train(arrays, replace(rows, x_train=rows.x_train[:0], y_train=rows.y_train[:0]), None, epochs=1)
    with pytest.raises(DataError, match=r"expected \(n, 5\) features"):
        task.evaluate(arrays, replace(rows, x_test=rows.x_test[:, :3]))
    with pytest.raises(DataError, match="expected 0 to 2"):
        task.train(arrays, replace(rows, y_train=rows.y_train + 1), None, epochs=1)
    with pytest.raises(ValueError, match="frozen as a whole"):
        task.train(arrays, rows, generator(1), epochs=1, first_trained=3)


def test_all_wrong_settings_are_reported_together():
    with pytest.raises(ConfigError, match=r"optimizer = 'lbfgs'.*head = 'none'.*prune_threshold = 2.*batch_size = 0"):
        make(head="none", optimizer="lbfgs", batch_size=0, prune_threshold=2.0)
    with pytest.raises(ConfigError, match="one size for all"):
        make(head="federated", head_sizes=SMALL * 2)
