"""Three forms of a merge, against their equations on dense matrices and in a model of many rounds."""

import importlib
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.aggregation.lora import (
    Pair,
    Trained,
    balanced_pair,
    flexlora,
    mean_of_products,
    merged_layer,
    scale_of,
    sum_of_products,
    zero_matrix,
)
from eafl_flower.aggregation.lora.product import pair_term
from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, UpdateRefusedError

SHAPE, ALPHA = (24, 20), 32.0
RANKS = (2, 4, 4, 9)
WEIGHTS = (1.0, 3.0, 2.0, 0.5)
SHARES = np.array(WEIGHTS) / sum(WEIGHTS)


def dense(matrix):
    return (matrix.u * matrix.s) @ matrix.v.T


def drawn(rank, *purpose):
    rng = generator(3, "forms", *purpose)
    return Pair(rng.standard_normal((SHAPE[0], rank)), rng.standard_normal((rank, SHAPE[1])))


def layer_of(rank=12):
    return sum_of_products([pair_term(drawn(rank, "layer"))]).matrix


def trained_from(matrix, ranks=RANKS, agg_scale="include"):
    """What clients of these ranks make of a layer: each moves its factors its own way."""
    made = []
    for i, rank in enumerate(ranks):
        scale = scale_of(rank, ALPHA) if agg_scale == "include" else 1.0
        base = balanced_pair(matrix, rank, scale, generator(4, "columns"))
        moves = drawn(rank, "moves", i)
        made.append(Trained(base=base, pair=Pair(base.a + 0.3 * moves.a, base.b + 0.2 * moves.b)))
    return made


def product(pair, agg_scale):
    return pair.a @ pair.b * (scale_of(pair.rank, ALPHA) if agg_scale == "include" else 1.0)


def target(form, matrix, trained, agg_scale):
    """The definition of each form, dense."""
    whole = dense(matrix)
    products = [product(t.pair, agg_scale) for t in trained]
    if form == "delta":
        tails = [p - dense(matrix.truncated(t.pair.rank)) for t, p in zip(trained, products, strict=True)]
        return whole + np.tensordot(SHARES, tails, 1)
    if form == "replace":
        return np.tensordot(SHARES, products, 1)
    found = whole - dense(matrix.truncated(max(RANKS)))
    bounds = sorted({0, *RANKS})
    for low, high in pairwise(bounds):  # a partition: between neighbouring ranks
        reach = [(share, t.pair) for share, t in zip(SHARES, trained, strict=True) if t.pair.rank >= high]
        total = sum(share for share, _ in reach)
        for share, pair in reach:
            part = pair.a[:, low:high] @ pair.b[low:high]
            found += share / total * part * (scale_of(pair.rank, ALPHA) if agg_scale == "include" else 1.0)
    return found


@pytest.mark.parametrize("step", [1.0, 0.3])
@pytest.mark.parametrize("agg_scale", ["include", "ignore"])
@pytest.mark.parametrize("form", ["delta", "replace", "partition"])
def test_a_form_is_its_equation(form, agg_scale, step):
    matrix = layer_of()
    trained = trained_from(matrix, agg_scale=agg_scale)
    expected = dense(matrix) + step * (target(form, matrix, trained, agg_scale) - dense(matrix))
    found, discarded = merged_layer(
        matrix, trained, WEIGHTS, form=form, step=step, lora_alpha=ALPHA, agg_scale=agg_scale
    )
    assert np.linalg.norm(dense(found) - expected) <= 1e-12 * np.linalg.norm(expected)
    assert discarded <= 1e-20
    kept, discarded = merged_layer(
        matrix, trained, WEIGHTS, form=form, step=step, lora_alpha=ALPHA, agg_scale=agg_scale, most=5
    )
    s = np.linalg.svd(expected, compute_uv=False)
    assert kept.rank == 5
    assert discarded == pytest.approx((s[5:] ** 2).sum() / (s**2).sum(), rel=1e-9)


def test_with_equal_ranks_replace_is_the_mean_of_the_products():
    """Federated averaging of what the adapters do, and FlexLoRA's step."""
    matrix = layer_of(4)
    trained = trained_from(matrix, (4, 4, 4, 4))
    pairs = [t.pair for t in trained]
    expected = sum(s * product(p, "include") for s, p in zip(SHARES, pairs, strict=True))
    for form in ("replace", "delta", "partition"):  # the layer has no tail beyond their rank, so all forms agree
        found = dense(merged_layer(matrix, trained, WEIGHTS, form=form, lora_alpha=ALPHA).matrix)
        assert np.linalg.norm(found - expected) <= 1e-12 * np.linalg.norm(expected)
    theirs = flexlora(pairs, WEIGHTS, [16], scales=[scale_of(4, ALPHA)] * 4)[0]
    assert np.linalg.norm(theirs.a @ theirs.b - expected) <= 1e-12 * np.linalg.norm(expected)


@pytest.mark.parametrize("form", ["delta", "partition"])
def test_one_client_leaves_what_it_was_not_sent(form):
    matrix = layer_of()
    (trained,) = trained_from(matrix, (3,))
    found = dense(merged_layer(matrix, [trained], [2.0], form=form, lora_alpha=ALPHA).matrix)
    expected = product(trained.pair, "include") + dense(matrix) - dense(matrix.truncated(3))
    assert np.linalg.norm(found - expected) <= 1e-12 * np.linalg.norm(expected)


def test_merging_what_nobody_changed_drains_by_shares_or_not_at_all():
    """After t rounds replace has left P_j ** t of singular value j, where P_j is the share of those who hold it."""
    start = matrix = layer_of(9)
    held = np.array([sum(s for s, r in zip(SHARES, RANKS, strict=True) if r > j) for j in range(9)])
    for form, kept in (("replace", held), ("delta", np.ones(9)), ("partition", np.ones(9))):
        matrix = start
        for rounds in range(1, 8):
            bases = [balanced_pair(matrix, r, scale_of(r, ALPHA), generator(4, "columns")) for r in RANKS]
            matrix = merged_layer(
                matrix, [Trained(base=b, pair=b) for b in bases], WEIGHTS, form=form, lora_alpha=ALPHA
            ).matrix
            np.testing.assert_allclose(matrix.s, start.s * kept**rounds, rtol=1e-9)


@pytest.fixture(scope="module")
def model():
    folder = str(Path(__file__).parents[3] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("lora_forms")
    finally:
        sys.path.remove(folder)


def test_after_fifty_rounds_replace_has_drained_and_delta_keeps_nine_tenths(model):
    full = model.energy_above_smallest("learnt", "delta", model.FULL, 50)
    shares = {
        form: model.energy_above_smallest("learnt", form, model.RANKS, 50) / full
        for form in ("delta", "replace", "partition")
    }
    assert shares["delta"] > 0.9
    assert shares["partition"] > 0.9
    assert shares["replace"] < 0.5
    # the direction held by five of six decays least
    assert model.energy_above_smallest("kept", "replace", model.RANKS, 50) < (5 / 6) ** 100
    target = model.target_matrix().truncated(max(model.RANKS)).energy_above(min(model.RANKS))
    for form in ("delta", "partition"):
        assert model.energy_above_smallest("kept", form, model.RANKS, 50) == pytest.approx(target, rel=1e-9)


def test_a_client_without_weight_decides_nothing():
    matrix = layer_of()
    trained = trained_from(matrix)
    for form in ("delta", "replace", "partition"):
        with_it = merged_layer(matrix, trained, [1.0, 2.0, 1.0, 0.0], form=form, lora_alpha=ALPHA).matrix
        without = merged_layer(matrix, trained[:3], [1.0, 2.0, 1.0], form=form, lora_alpha=ALPHA).matrix
        assert np.linalg.norm(dense(with_it) - dense(without)) <= 1e-12 * without.norm


def test_what_does_not_fit_is_refused():
    matrix, (good, *_) = layer_of(), trained_from(layer_of())
    other = Pair(np.zeros((24, 3)), np.zeros((3, 20)))
    for trained, message in (
        ([], "no factors were given"),
        ([Trained(base=other, pair=good.pair)], "began with factors of rank 3"),
        ([Trained(base=good.base, pair=Pair(good.pair.a * np.inf, good.pair.b))], "not finite"),
        ([Trained(base=Pair(good.base.a, good.base.b * np.nan), pair=good.pair)], "not finite"),
    ):
        with pytest.raises(UpdateRefusedError, match=message):
            merged_layer(matrix, trained, [1.0] * len(trained))
    with pytest.raises(UpdateRefusedError, match=r"of a layer \(24, 20\), expected \(20, 24\)"):
        merged_layer(zero_matrix(20, 24), [good], [1.0])
    with pytest.raises(UpdateRefusedError, match="2 weights for 1 clients"):
        merged_layer(matrix, [good], [1.0, 1.0])
    for wrong in ({"form": "mean"}, {"agg_scale": "yes"}):
        with pytest.raises(ConfigError, match="expected one of"):
            merged_layer(matrix, [good], [1.0], **wrong)
    assert mean_of_products([good.pair], [1.0]).matrix.rank == 2


@pytest.mark.parametrize("form", ["delta", "replace", "partition"])
@pytest.mark.parametrize("step", [1.0, 0.4])
def test_a_merge_by_units_is_the_merge_of_all_if_no_unit_cuts_anything_off(form, step):
    matrix = layer_of()
    trained, units = trained_from(matrix), [2, 1, 2, 7]
    flat = merged_layer(matrix, trained, WEIGHTS, form=form, step=step)
    by_units = merged_layer(matrix, trained, WEIGHTS, form=form, step=step, units=units)
    size = np.linalg.norm(dense(flat.matrix))
    assert np.linalg.norm(dense(by_units.matrix) - dense(flat.matrix)) < 1e-12 * size
    cut = merged_layer(matrix, trained, WEIGHTS, form=form, step=step, units=units, unit_rank=1)
    assert cut.discarded > 0.01
    assert np.linalg.norm(dense(cut.matrix) - dense(flat.matrix)) > 1e-3 * size


def test_each_client_has_a_unit_or_none_has():
    matrix = layer_of()
    with pytest.raises(UpdateRefusedError, match="1 units for the factors of 4 clients"):
        merged_layer(matrix, trained_from(matrix), WEIGHTS, units=[1])
