import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.heads.size import block_parameters
from eafl_flower.models.cross_entropy import cross_entropy
from eafl_flower.models.fractal import Fractal
from eafl_flower.tasks.backend import backend_for, torch_backend

torch = pytest.importorskip("torch")
ROWS = 9


@pytest.fixture(params=["numpy", "torch"])
def backend(request):
    return backend_for("cpu") if request.param == "numpy" else torch_backend("cpu")


def by_torch(block, arrays, x):
    """The block on rows ``(n, inputs)``, as its equations say it, by torch."""
    given = iter(arrays)

    def subtree(node, level):
        if node in block.pruned:
            return next(given).expand(len(x), -1)
        if level == 0:
            weight, gain, shift = next(given), next(given), next(given)
            return torch.nn.functional.layer_norm(torch.relu(x @ weight.T), (block.width,), gain, shift)
        children = torch.cat([subtree(2 * node, level - 1), subtree(2 * node + 1, level - 1)], dim=1)
        return torch.relu(children @ next(given).T)

    values = subtree(1, block.depth)
    return torch.nn.functional.linear(values, next(given), next(given)) if block.num_classes else values


def any_arrays(block, seed=1):
    """Arrays of a block in which gains, shifts and constants are not special."""
    rng = generator(seed, "arrays")
    return tuple((a + 0.3 * rng.standard_normal(a.shape)).astype(np.float32) for a in block.init(rng))


def some_rows(block, seed=1):
    return generator(seed, "rows").standard_normal((ROWS, block.num_inputs)).astype(np.float32)


BLOCKS = [
    Fractal(5, 8, 0),
    Fractal(5, 8, 1, 3),
    Fractal(5, 32, 2),
    Fractal(16, 8, 3, 4),  # a leaf's matrix has the shape of a merge's
    Fractal(5, 8, 1, 3, pruned=(2,)),
    Fractal(5, 8, 3, 3, pruned=(5, 13, 15)),
    Fractal(5, 8, 2, 3, pruned=(3, 4)),
]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_outputs_and_gradients_are_those_of_autograd(block, backend):
    arrays, x = any_arrays(block), some_rows(block)
    leaves = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    inputs = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    expected = by_torch(block, leaves, inputs)
    push = generator(1, "push").standard_normal(expected.shape).astype(np.float32)
    expected.backward(torch.tensor(push, dtype=torch.float64))

    flat = backend.put(block.pack(arrays))
    gradient = 0 * flat
    views = block.views(flat)
    trace = block.forward(backend.functions, views, backend.put(np.ascontiguousarray(x.T)[None]))
    np.testing.assert_allclose(backend.get(trace.outputs)[0].T, expected.detach(), rtol=1e-4, atol=1e-5)
    error = backend.put(np.ascontiguousarray(push.T)[None].copy())
    to_inputs = block.backward(backend.functions, views, trace, error, block.views(gradient), to_inputs=True)
    np.testing.assert_allclose(backend.get(to_inputs)[0].T, inputs.grad, rtol=1e-3, atol=1e-4)
    found = block.unpack(backend.get(gradient))
    for (kind, _), ours, theirs in zip(block.entries, found, leaves, strict=True):
        wanted = 0 * theirs.detach() if kind >= 2000 else theirs.grad  # constants do not train
        np.testing.assert_allclose(ours, wanted, rtol=1e-3, atol=1e-4)


def test_without_gradients_the_inputs_get_the_same_one(backend):
    block = Fractal(5, 8, 2, 3)
    views = block.views(backend.put(block.pack(any_arrays(block))))
    x, found = backend.put(some_rows(block).T.copy()[None]), []
    for gradients in (None, block.views(backend.put(np.zeros(block.num_values, np.float32)))):
        trace = block.forward(backend.functions, views, x)
        error = 1 + 0 * trace.outputs
        found.append(backend.get(block.backward(backend.functions, views, trace, error, gradients, to_inputs=True)))
    assert np.array_equal(*found)


def test_the_loss_and_its_gradient_are_those_of_autograd(backend):
    rng = generator(1, "logits")
    logits, labels = 5 * rng.standard_normal((4, ROWS)).astype(np.float32), rng.integers(0, 4, ROWS)
    theirs = torch.tensor(logits.T, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(theirs, torch.tensor(labels))
    loss.backward()
    targets = np.eye(4, dtype=np.float32)[labels].T[None]
    ours, error = cross_entropy(backend.functions, backend.put(logits[None].copy()), backend.put(targets.copy()))
    assert float(ours) == pytest.approx(ROWS * loss.item(), rel=1e-5)
    np.testing.assert_allclose(backend.get(error)[0].T, theirs.grad, rtol=1e-4, atol=1e-6)


def test_groups_compute_what_each_would_alone(backend):
    block, rng = Fractal(5, 8, 2, 3), generator(1, "groups")
    models = [any_arrays(block, seed) for seed in (1, 2, 3)]
    flat = backend.put(block.pack(models[0], 3))
    views = block.views(flat, 3)
    alone = [block.views(backend.put(block.pack(m))) for m in models]
    for g, one in enumerate(alone):  # the groups start equal: write the other two models in
        views.weight[g] = one.weight[0]
        views.gain[4 * g : 4 * g + 4], views.shift[4 * g : 4 * g + 4] = one.gain, one.shift
        for merges, merge in zip(views.merges, one.merges, strict=True):
            merges[len(merge) * g : len(merge) * (g + 1)] = merge
        views.classifier[g], views.bias[g] = one.classifier[0], one.bias[0]
    x = rng.standard_normal((3, 5, ROWS)).astype(np.float32)
    push = rng.standard_normal((3, 3, ROWS)).astype(np.float32)
    gradient = 0 * flat
    trace = block.forward(backend.functions, views, backend.put(x))
    grouped = block.views(gradient, 3)
    block.backward(backend.functions, views, trace, backend.put(push.copy()), grouped, to_inputs=False)
    for g, one in enumerate(alone):
        own = backend.put(np.zeros(block.num_values, np.float32))
        own_trace = block.forward(backend.functions, one, backend.put(x[g : g + 1].copy()))
        error = backend.put(push[g : g + 1].copy())
        block.backward(backend.functions, one, own_trace, error, block.views(own), to_inputs=False)
        np.testing.assert_allclose(trace.outputs[g], own_trace.outputs[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(grouped.weight[g], block.views(own).weight[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(grouped.merges[1][g], block.views(own).merges[1][0], rtol=1e-4, atol=1e-5)


def test_the_shared_block_has_fifteen_arrays_depth_first():
    leaf, merge = [(32, 7), (32,), (32,)], [(32, 64)]
    pair = leaf + leaf + merge
    block = Fractal(7, 32, 2)
    assert list(block.shapes) == pair + pair + merge
    assert block.num_parameters == block_parameters(7, 32, 2) == 7296


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_flat_vector_gives_the_arrays_back(block):
    arrays = any_arrays(block)
    flat = block.pack(arrays)
    assert flat.size == block.num_values
    assert all(np.array_equal(a, b) for a, b in zip(block.unpack(flat), arrays, strict=True))


def test_initial_matrices_are_uniform_and_layer_norms_do_nothing():
    block = Fractal(100, 200, 1, 5)
    weight, gain, shift, *_, merge, classifier, bias = block.init(generator(1, "init"))
    assert np.all(gain == 1)
    assert not shift.any()
    for matrix, inputs in ((weight, 100), (merge, 400), (classifier, 200), (bias, 200)):
        assert np.abs(matrix).max() <= inputs**-0.5
    for matrix, inputs in ((weight, 100), (merge, 400)):
        # a uniform variable on ±b has variance b²/3, estimated from n values within five standard errors
        assert matrix.var() == pytest.approx(1 / (3 * inputs), rel=5 * np.sqrt(0.8 / matrix.size))


def test_a_cut_is_the_leftmost_subtree_and_the_first_units():
    large, small = Fractal(32, 32, 3, 5), Fractal(32, 16, 1, 5)
    arrays = large.init_nested(generator(1, "init"), 16)
    cut = large.cut(arrays, small)
    assert tuple(a.shape for a in cut) == small.shapes
    assert np.array_equal(cut[0], arrays[0][:16])  # the first leaf's first units
    assert np.array_equal(cut[-3], np.hstack([arrays[6][:16, :16], arrays[6][:16, 32:48]]))  # both children's
    assert np.array_equal(cut[-2], arrays[-2][:, :16])
    assert all(np.array_equal(a, b) for a, b in zip(arrays, large.cut(arrays, large), strict=True))


def test_heads_of_all_sizes_begin_as_nearly_the_same_function():
    large, inputs = (
        Fractal(32, 32, 4, 5),
        np.abs(generator(1, "inputs").standard_normal((1, 32, 500))).astype(np.float32),
    )

    def begun(arrays, block):
        logits = block.forward(np, block.views(block.pack(arrays)), inputs).outputs
        return (logits - logits.mean(axis=2, keepdims=True)).ravel()

    nested = large.init_nested(generator(1, "init"), 16)
    whole = begun(nested, large)
    for depth, width in ((0, 16), (0, 32), (1, 24), (3, 32)):
        block = Fractal(32, width, depth, 5)
        assert np.corrcoef(begun(large.cut(nested, block), block), whole)[0, 1] > 0.6


@pytest.mark.parametrize(
    ("before", "now", "after"), [((), (2,), (2,)), ((), (4, 13), (4, 13)), ((8, 13), (4,), (4, 13))]
)
def test_a_pruned_tree_gives_constants_the_place_of_subtrees(before, now, after):
    block = Fractal(5, 8, 3, 3, pruned=before)
    arrays = any_arrays(block)
    constants = {node: np.full(8, node, np.float32) for node in now}
    pruned, kept = block.prune(arrays, constants)
    assert pruned.pruned == after
    assert tuple(a.shape for a in kept) == pruned.shapes
    assert np.array_equal(kept[-1], arrays[-1])
    assert pruned.num_values < block.num_values


def test_pruning_a_subtree_that_is_constant_changes_no_output():
    block = Fractal(5, 8, 2, 3)
    arrays = list(any_arrays(block))
    arrays[1] = np.zeros(8, np.float32)  # gain of the first leaf, node 4
    constant = arrays[2]
    x = some_rows(block).T.copy()[None]
    pruned, kept = block.prune(arrays, {4: constant})
    before = block.forward(np, block.views(block.pack(arrays)), x).outputs
    after = pruned.forward(np, pruned.views(pruned.pack(kept)), x).outputs
    assert after.shape == before.shape
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


def test_outputs_of_nodes_are_named_by_their_place():
    block = Fractal(5, 8, 2, 3, pruned=(6,))
    arrays, x = any_arrays(block), some_rows(block)
    trace = block.forward(np, block.views(block.pack(arrays)), x.T.copy()[None])
    found = {
        node: o for nodes, outputs in block.children_outputs(trace) for node, o in zip(nodes, outputs, strict=True)
    }
    assert sorted(found) == [2, 3, 4, 5, 7]
    given = [torch.tensor(a) for a in arrays]
    first = by_torch(Fractal(5, 8, 1), given[:7], torch.tensor(x))  # the left child of the root
    np.testing.assert_allclose(found[2].T, first, rtol=1e-4, atol=1e-5)
    leaf = by_torch(Fractal(5, 8, 0), given[8:11], torch.tensor(x))  # after the constant of node 6
    np.testing.assert_allclose(found[7].T, leaf, rtol=1e-4, atol=1e-5)
