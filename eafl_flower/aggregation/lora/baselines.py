r"""How others merge adapters: HomoLoRA, HetLoRA, FlexLoRA, FLoRA and FedRA, one layer at a time.

Each is its definition and no more, to be compared with. A is ``(d_in, r)`` and B ``(r, d_out)``; in PEFT both are
stored the other way round. Shapes are ours, weights are those of the sources.
"""

import math
from collections.abc import Sequence

import numpy as np

from eafl_flower.aggregation.lora.factors import LowRank, Pair, check_pairs, check_rank, product_norm
from eafl_flower.aggregation.lora.product import mean_of_products, shares_of_weights
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.types import Array


def homolora(pairs: Sequence[Pair], weights: Sequence[float]) -> Pair:
    r"""Return the means :math:`\sum p_v A_v` and :math:`\sum p_v B_v`, of clients of one rank (FedIT).

    The product of these means is not the mean of the products.

    Raises
    ------
    UpdateRefusedError
        If ranks differ, factors do not fit or are not finite, or weights do not fit the clients.

    References
    ----------
    Zhang et al., "Towards building the federated GPT: federated instruction tuning", ICASSP 2024 (FedIT).
    """
    check_pairs(list(pairs), "HomoLoRA")
    if len(ranks := sorted({pair.rank for pair in pairs})) > 1:
        raise UpdateRefusedError(f"HomoLoRA: factors have ranks {ranks}, expected one rank for all clients")
    return _mean(pairs, shares_of_weights(weights, len(pairs)))


def hetlora(pairs: Sequence[Pair]) -> Pair:
    r"""Return the means of A and of B, padded with zeros to the largest rank, weighted by how much they do.

    .. math:: p_v = \lVert A_v B_v \rVert_F \big/ \sum_k \lVert A_k B_k \rVert_F

    Where all products are zero, as before any training, all weigh alike (ours). The next clients get slices:
    ``sliced``.

    Raises
    ------
    UpdateRefusedError
        If factors do not fit or are not finite.

    References
    ----------
    Cho et al., "Heterogeneous LoRA for federated fine-tuning of on-device foundation models", EMNLP 2024.
    """
    check_pairs(list(pairs), "HetLoRA")
    norms = [product_norm(pair) for pair in pairs]
    rank = max(pair.rank for pair in pairs)
    padded = [
        Pair(np.pad(a, ((0, 0), (0, rank - a.shape[1]))), np.pad(b, ((0, rank - b.shape[0]), (0, 0)))) for a, b in pairs
    ]
    return _mean(padded, shares_of_weights(norms if any(norms) else [1.0] * len(pairs), len(pairs)))


def sliced(pair: Pair, rank: int) -> Pair:
    """Return the first ``rank`` columns of A and rows of B, as HetLoRA sends them.

    Raises
    ------
    ConfigError
        If the rank is below 1 or above that of the factors.
    """
    if not 1 <= rank <= pair.rank:
        raise ConfigError(f"rank {rank} of factors of rank {pair.rank}: expected from 1 to {pair.rank}")
    return Pair(pair.a[:, :rank], pair.b[:rank])


def tail_norm(pair: Pair, kept: int) -> float:
    r"""Return :math:`\lVert A_{:,k:} \rVert_F \lVert B_{k:,:} \rVert_F`: HetLoRA's regulariser of what might be pruned.

    Its weight in the loss is about 0.01.
    """
    return float(np.linalg.norm(pair.a[:, kept:].astype(np.float64)) * np.linalg.norm(pair.b[kept:].astype(np.float64)))


def self_pruned(before: Pair, after: Pair, gamma: float) -> Pair:
    r"""Return what a client of HetLoRA keeps after training: all, or :math:`\lfloor \gamma r \rfloor` of its columns.

    It prunes if its ``tail_norm`` beyond these has become smaller than it was before training. One column stays.

    Parameters
    ----------
    before, after
        The factors that the client was sent and those it has trained.
    gamma
        Share of the rank that stays, above 0 and below 1. With little below 1 nothing is ever pruned of a small rank:
        :math:`\lfloor 0.99 \cdot 8 \rfloor = 7` prunes one column, a tail of :math:`\lfloor 0.01 \cdot 8 \rfloor`
        columns none.

    Raises
    ------
    ConfigError
        If ``gamma`` is out of range.
    UpdateRefusedError
        If the factors have not the same shapes.
    """
    if not 0 < gamma < 1:
        raise ConfigError(f"gamma = {gamma}: expected a number above 0 and below 1")
    check_pairs([before, after], "HetLoRA's pruning")
    if before.rank != after.rank:
        raise UpdateRefusedError(f"factors of rank {before.rank} became rank {after.rank}: training keeps the rank")
    kept = max(1, math.floor(gamma * after.rank))
    return sliced(after, kept) if tail_norm(after, kept) < tail_norm(before, kept) else after


def flexlora(
    pairs: Sequence[Pair], weights: Sequence[float], ranks: Sequence[int], *, scales: Sequence[float] | None = None
) -> list[Pair]:
    r"""Return for each of ``ranks`` the truncated SVD of the mean product :math:`\sum p_v s_v A_v B_v`.

    .. math:: A = U_r \operatorname{diag}(S_r), \qquad B = V_r^T

    all singular values in A. ``scales`` are 1 unless given. A rank above that of the mean gets columns of zeros.

    Raises
    ------
    ConfigError
        If a rank is below 1 or above a side of the layer.
    UpdateRefusedError
        If factors do not fit or are not finite, or weights do not fit the clients.

    References
    ----------
    Bai et al., "Federated fine-tuning of large language models under heterogeneous tasks and client resources",
    NeurIPS 2024.
    """
    mean = mean_of_products(pairs, weights, scales=scales).matrix
    return [_singular_values_left(mean, rank) for rank in ranks]


def _singular_values_left(matrix: LowRank, rank: int) -> Pair:
    check_rank(rank, matrix.shape)
    known = min(rank, matrix.rank)
    a, b = np.zeros((matrix.shape[0], rank)), np.zeros((rank, matrix.shape[1]))
    np.multiply(matrix.u[:, :known], matrix.s[:known], out=a[:, :known])
    b[:known] = matrix.v[:, :known].T
    return Pair(a, b)


def flora(pairs: Sequence[Pair], weights: Sequence[float]) -> Pair:
    r"""Return :math:`[p_1 A_1 \cdots p_n A_n]` and :math:`[B_1; \ldots; B_n]`: their product is the mean, exactly.

    The rank is the sum of ranks. Clients add the product to their frozen weights and begin with fresh adapters.

    Raises
    ------
    UpdateRefusedError
        If factors do not fit or are not finite, or weights do not fit the clients.

    References
    ----------
    Wang et al., "FLoRA: federated fine-tuning large language models with heterogeneous low-rank adaptations",
    NeurIPS 2024, and its code, which weighs A.
    """
    check_pairs(list(pairs), "FLoRA")
    shares = shares_of_weights(weights, len(pairs))
    a = np.concatenate([share * pair.a for pair, share in zip(pairs, shares, strict=True)], axis=1, dtype=np.float64)
    return Pair(a, np.concatenate([pair.b for pair in pairs], dtype=np.float64))


def fedra(kept: Pair, pairs: Sequence[Pair | None]) -> Pair:
    r"""Return the plain means of A and of B over the clients that trained this layer; ``kept`` if none did.

    Parameters
    ----------
    kept
        The factors as they are.
    pairs
        Of each client what it trained, None if the layer was not allotted to it.

    Raises
    ------
    UpdateRefusedError
        If factors have other shapes than ``kept`` or are not finite.

    References
    ----------
    Su et al., "FedRA: a random allocation strategy for federated tuning to unleash the power of heterogeneous clients",
    ECCV 2024, and its code, whose mean is without weights.
    """
    trained = [pair for pair in pairs if pair is not None]
    check_pairs([kept, *trained], "FedRA")
    if wrong := sorted({pair.rank for pair in trained} - {kept.rank}):
        raise UpdateRefusedError(f"FedRA: factors of rank {wrong[0]} for a layer of rank {kept.rank}")
    return _mean(trained, [1.0 / len(trained)] * len(trained)) if trained else kept


def _mean(pairs: Sequence[Pair], shares: Sequence[float]) -> Pair:
    def of(factors: Sequence[Array]) -> Array:
        total = np.zeros(factors[0].shape)
        for factor, share in zip(factors, shares, strict=True):
            total += np.multiply(factor, share, dtype=np.float64)
        return total

    return Pair(of([pair.a for pair in pairs]), of([pair.b for pair in pairs]))
