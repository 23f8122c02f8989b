r"""Three ways to merge adapters of unequal rank into one matrix, all in product space.

With :math:`W_v = s(r_v) A_v B_v` what client v trained, :math:`\hat W_v` what it began with and shares
:math:`\sum_v p_v = 1` each form has a target, and a merge goes a step :math:`a` towards it:

.. math:: \Theta^+ = \Theta + a\,(T - \Theta)

``delta``
    :math:`T = \Theta + \sum_v p_v (W_v - \hat W_v)`. What a client never received stays as it is.
``replace``
    :math:`T = \sum_v p_v W_v`. Singular directions that only clients of high rank hold are averaged against zeros, and
    drain: the rank collapse that raFLoRA names.
``partition``
    :math:`T = \sum_v \sum_{j < r_v} \frac{p_v}{P_j} s(r_v)\, a_{v,j} b_{v,j}^T + \Theta_{> \max r_v}` with
    :math:`P_j = \sum_{v: r_v > j} p_v`: each column is a mean over the clients that have it. Columns begin in
    the order of singular values; directions that nobody holds stay as they are.

``replace`` is what FlexLoRA does; ``delta`` and the form of ``partition`` are our own.

Where clients send to roadside units, each unit adds up what its clients bring to the sum, and sends it to the cloud in
SVD form, at most of rank ``unit_rank``. If no unit cuts anything off, the cloud's sum is that over all clients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, get_args

import numpy as np

from eafl_flower.aggregation.lora.factors import LowRank, Pair, check_pairs, scale_of
from eafl_flower.aggregation.lora.product import (
    Summed,
    Term,
    matrix_term,
    pair_term,
    shares_of_weights,
    sum_of_products,
)
from eafl_flower.errors import ConfigError, UpdateRefusedError

Form = Literal["delta", "replace", "partition"]
Scaled = Literal["include", "ignore"]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What one client made of one layer: the factors it began with, as it decoded them, and those it sent back."""

    base: Pair
    pair: Pair


def merged_layer(
    matrix: LowRank,
    trained: Sequence[Trained],
    weights: Sequence[float],
    *,
    form: Form = "delta",
    step: float = 1.0,
    lora_alpha: float = 32.0,
    agg_scale: Scaled = "include",
    most: int = 0,
    tolerance: float = 0.0,
    units: Sequence[int] = (),
    unit_rank: int = 0,
) -> Summed:
    r"""Return the layer after one merge.

    Parameters
    ----------
    matrix
        The layer :math:`\Theta`.
    trained
        What its clients made of it, of any ranks.
    weights
        One weight a client; shares are weights over their sum.
    form, step
        See the module.
    lora_alpha
        The :math:`\alpha` of :math:`s(r) = \alpha / r`.
    agg_scale
        "include" merges :math:`s(r_v) A_v B_v`; "ignore" merges :math:`A_v B_v`, so that an adapter that changes its
        rank changes its size.
    most, tolerance
        See ``sum_of_products``.
    units, unit_rank
        Number of the roadside unit of each client, and the largest rank that a unit sends on (0: all it has). No units:
        all clients send to the cloud.

    Raises
    ------
    ConfigError
        If the form, the scaling or ``most`` is none.
    UpdateRefusedError
        If factors do not fit the layer, each other, or are not finite, or weights do not fit the clients.
    """
    if form not in get_args(Form) or agg_scale not in get_args(Scaled):
        msg = f"form = {form!r}, agg_scale = {agg_scale!r}: expected one of {get_args(Form)} and {get_args(Scaled)}"
        raise ConfigError(msg)
    _check(matrix, trained)
    shares = shares_of_weights(weights, len(trained))
    scales = [scale_of(t.pair.rank, lora_alpha) if agg_scale == "include" else 1.0 for t in trained]
    steps = [step * share * scale for share, scale in zip(shares, scales, strict=True)]
    if form == "delta":
        kept = [matrix_term(matrix)]
        brought = [[pair_term(t.pair, by), pair_term(t.base, -by)] for t, by in zip(trained, steps, strict=True)]
    else:
        kept = [] if step == 1.0 else [matrix_term(matrix, 1.0 - step)]
        if form == "replace":
            brought = [[pair_term(t.pair, by)] for t, by in zip(trained, steps, strict=True)]
        else:
            brought, tail = _partitioned(matrix, trained, shares, steps, step)
            kept += tail
    if units:
        return _by_units(kept, brought, units, unit_rank=unit_rank, most=most, tolerance=tolerance)
    return sum_of_products([*kept, *chain.from_iterable(brought)], most=most, tolerance=tolerance)


def _by_units(
    kept: list[Term],
    brought: Sequence[list[Term]],
    units: Sequence[int],
    *,
    unit_rank: int,
    most: int,
    tolerance: float,
) -> Summed:
    """Add up by unit first; ``discarded`` is the largest share that a unit or the cloud has cut off of its own sum."""
    if len(units) != len(brought):
        raise UpdateRefusedError(f"{len(units)} units for the factors of {len(brought)} clients: expected one each")
    sent = [
        sum_of_products(
            [term for terms, at in zip(brought, units, strict=True) if at == unit for term in terms],
            most=unit_rank,
        )
        for unit in sorted(set(units))
    ]
    summed = sum_of_products([*kept, *(matrix_term(s.matrix) for s in sent)], most=most, tolerance=tolerance)
    return summed._replace(discarded=max(summed.discarded, *(s.discarded for s in sent)))


def _partitioned(
    matrix: LowRank, trained: Sequence[Trained], shares: Sequence[float], steps: Sequence[float], step: float
) -> tuple[list[list[Term]], list[Term]]:
    """Return what each client brings, and what stays as it is."""
    ranks = [t.pair.rank for t in trained]
    reached = np.zeros(max(ranks))  # P_j
    for rank, share in zip(ranks, shares, strict=True):
        reached[:rank] += share
    inverse = np.divide(1.0, reached, out=np.zeros_like(reached), where=reached > 0)
    brought = [[pair_term(t.pair, by * inverse[: t.pair.rank])] for t, by in zip(trained, steps, strict=True)]
    beyond = np.arange(matrix.rank) >= int(np.count_nonzero(reached))  # nobody of any weight holds these
    if not beyond.any():
        return brought, []
    tail = LowRank(u=matrix.u[:, beyond], s=matrix.s[beyond], v=matrix.v[:, beyond])
    return brought, [matrix_term(tail, step)]


def _check(matrix: LowRank, trained: Sequence[Trained]) -> None:
    shape = check_pairs([t.pair for t in trained], "trained factors")
    check_pairs([t.base for t in trained], "factors that clients began with")
    if shape != matrix.shape:
        raise UpdateRefusedError(f"trained factors are those of a layer {shape}, expected {matrix.shape}")
    for i, t in enumerate(trained):
        if t.pair.a.shape != t.base.a.shape or t.pair.b.shape != t.base.b.shape:
            msg = f"client {i} began with factors of rank {t.base.rank} of a layer {t.base.shape} and sent back"
            raise UpdateRefusedError(f"{msg} rank {t.pair.rank} of {t.pair.shape}: expected the same")
