"""Each method of others against its definition in a few dense lines."""

import math

import numpy as np
import pytest

from eafl_flower.aggregation.lora import (
    Pair,
    fedra,
    flexlora,
    flora,
    hetlora,
    homolora,
    self_pruned,
    sliced,
    tail_norm,
)
from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError, UpdateRefusedError

SHAPE = (12, 10)
WEIGHTS = (1.0, 3.0, 2.0)
SHARES = np.array(WEIGHTS) / 6


def drawn(rank, *purpose):
    rng = generator(5, "baselines", *purpose)
    return Pair(*(rng.standard_normal(s).astype(np.float32) for s in ((SHAPE[0], rank), (rank, SHAPE[1]))))


def clients(ranks):
    return [drawn(rank, i) for i, rank in enumerate(ranks)]


def same(found, a, b):
    np.testing.assert_allclose(found.a, a, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.b, b, rtol=0, atol=1e-6)


def test_homolora_averages_both_factors_by_data():
    pairs = clients((3, 3, 3))
    same(
        homolora(pairs, WEIGHTS),
        sum(p * pair.a for p, pair in zip(SHARES, pairs, strict=True)),
        sum(p * pair.b for p, pair in zip(SHARES, pairs, strict=True)),
    )
    with pytest.raises(UpdateRefusedError, match=r"HomoLoRA: factors have ranks \[2, 3\], expected one rank"):
        homolora(clients((3, 2, 3)), WEIGHTS)


def test_hetlora_pads_and_weighs_by_the_norm_of_the_product():
    pairs = clients((2, 5, 3))
    norms = [np.linalg.norm(a @ b) for a, b in pairs]
    a, b = np.zeros((12, 5)), np.zeros((5, 10))
    for norm, pair in zip(norms, pairs, strict=True):
        a[:, : pair.rank] += norm / sum(norms) * pair.a
        b[: pair.rank] += norm / sum(norms) * pair.b
    found = hetlora(pairs)
    same(found, a, b)
    same(sliced(found, 2), a[:, :2], b[:2])


def test_hetlora_of_adapters_that_do_nothing_yet_weighs_all_alike():
    pairs = [Pair(p.a, 0 * p.b) for p in clients((3, 3))]
    same(hetlora(pairs), (pairs[0].a + pairs[1].a) / 2, np.zeros((3, 10)))


@pytest.mark.parametrize(("rank", "gamma"), [(8, 0.99), (8, 0.5), (50, 0.85), (2, 0.1), (1, 0.5)])
def test_hetlora_prunes_to_the_floor_if_its_tail_has_shrunk(rank, gamma):
    before = drawn(rank, "before")
    kept = max(1, math.floor(gamma * rank))
    tail = np.linalg.norm(before.a[:, kept:]) * np.linalg.norm(before.b[kept:])
    assert tail_norm(before, kept) == pytest.approx(tail, rel=1e-6)
    a = before.a.copy()
    a[:, kept:] *= 0.9
    shrunk, grown = Pair(a, before.b), Pair(before.a * np.float32(1.1), before.b)
    assert self_pruned(before, shrunk, gamma).rank == kept
    assert self_pruned(before, grown, gamma).rank == rank
    assert self_pruned(before, before, gamma).rank == rank
    if kept < rank:  # only the tail counts: a head that shrinks prunes nothing
        a = before.a.copy()
        a[:, :kept] *= 0.1
        assert self_pruned(before, Pair(a, before.b), gamma).rank == rank


def test_flexlora_is_the_truncated_svd_of_the_mean_product():
    pairs = clients((2, 5, 3))
    mean = sum(p * pair.a.astype(float) @ pair.b for p, pair in zip(SHARES, pairs, strict=True))
    u, s, vt = np.linalg.svd(mean)
    found = flexlora(pairs, WEIGHTS, [1, 4, 10])
    for rank, (a, b) in zip((1, 4, 10), found, strict=True):
        np.testing.assert_allclose(a @ b, (u[:, :rank] * s[:rank]) @ vt[:rank], atol=1e-6 * s[0])
        np.testing.assert_allclose(np.linalg.norm(a, axis=0), s[:rank], rtol=1e-6)  # all of them on the left
        np.testing.assert_allclose(b @ b.T, np.eye(rank), atol=1e-12)


def test_flexlora_fills_up_with_zeros():
    a, b = flexlora(clients((2,)), [1.0], [5])[0]
    assert not a[:, 2:].any()
    assert not b[2:].any()


def test_flora_stacks_and_its_product_is_the_mean_of_the_products():
    pairs = clients((2, 5, 3))
    a = np.hstack([p * pair.a for p, pair in zip(SHARES, pairs, strict=True)])
    found = flora(pairs, WEIGHTS)
    same(found, a, np.vstack([pair.b for pair in pairs]))
    mean = sum(p * pair.a @ pair.b for p, pair in zip(SHARES, pairs, strict=True))
    np.testing.assert_allclose(found.a @ found.b, mean, atol=1e-5)


def test_fedra_averages_those_who_trained_a_layer_and_else_keeps_it():
    kept, (one, _, three) = drawn(3, "kept"), clients((3, 3, 3))
    same(fedra(kept, [one, None, three]), (one.a + three.a) / 2, (one.b + three.b) / 2)
    same(fedra(kept, [None, None, None]), kept.a, kept.b)
    with pytest.raises(UpdateRefusedError, match="FedRA: factors of rank 2 for a layer of rank 3"):
        fedra(kept, [drawn(2, "other"), None])


def test_what_does_not_fit_is_refused():
    good, spoiled = drawn(3, "good"), drawn(3, "spoiled")
    spoiled.b[0, 0] = np.nan
    for call in (
        lambda: homolora([good, spoiled], [1, 1]),
        lambda: hetlora([good, spoiled]),
        lambda: flexlora([good, spoiled], [1, 1], [2]),
        lambda: flora([good, spoiled], [1, 1]),
        lambda: fedra(good, [spoiled]),
        lambda: self_pruned(good, spoiled, 0.5),
    ):
        with pytest.raises(UpdateRefusedError, match="factors 1 are not finite"):
            call()
    with pytest.raises(UpdateRefusedError, match="training keeps the rank"):
        self_pruned(good, drawn(2, "less"), 0.5)
    for gamma in (0.0, 1.0, np.nan):
        with pytest.raises(ConfigError, match="expected a number above 0 and below 1"):
            self_pruned(good, good, gamma)
    for rank in (0, 4):
        with pytest.raises(ConfigError, match="expected from 1 to 3"):
            sliced(good, rank)
    with pytest.raises(ConfigError, match="expected a rank from 1 to 10"):
        flexlora([good], [1], [11])
