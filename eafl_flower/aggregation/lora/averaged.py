"""Adapters whose factors are averaged by themselves, as HomoLoRA, HetLoRA and FedRA do: to be compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eafl_flower.aggregation.acceptance import Accepted, accept, base_of, own
from eafl_flower.aggregation.barrier import shares_of
from eafl_flower.aggregation.lora.baselines import fedra, hetlora, homolora, sliced
from eafl_flower.aggregation.lora.factors import Pair, check_rank, scale_of
from eafl_flower.aggregation.merge import step
from eafl_flower.core.orders import Order
from eafl_flower.core.settings import Count, Positive, check_settings
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.types import Array, Arrays, Diagnostics, Merged, Update

Rule = Literal["homolora", "hetlora", "fedra"]


@dataclass(frozen=True, kw_only=True)
class AveragedState:
    """State of ``AveragedFactors``: factors of the largest rank, those of A times and of B by their scale's root."""

    factors: Arrays
    head: Arrays
    version: int


@dataclass(frozen=True, kw_only=True)
class AveragedFactors:
    r"""Average A and B of each layer by themselves, a round at a time.

    The arrays are those of ``LoRAAggregator``. ``rule`` is

    "homolora"
        means weighted by examples; all clients have one rank.
    "hetlora"
        means of factors padded with zeros, weighted by :math:`\lVert A_v B_v\rVert_F`; clients get slices. As a slice
        of another rank would count with another :math:`s(r)`, A and B are averaged times :math:`\sqrt{s(r)}` (ours).
        Columns that no client of a round has stay as they are (ours).
    "fedra"
        plain means over the clients that trained a layer, that is whose factors of it have changed; the head is the
        plain mean of all.

    Parameters
    ----------
    rule
        See above, and ``baselines``.
    lora_alpha
        The :math:`\alpha` of :math:`s(r) = \alpha / r`.
    head
        Number of arrays behind the factors.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    rule: Rule = "homolora"
    lora_alpha: Positive = 32.0
    head: Count = 2

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self, arrays: Arrays) -> AveragedState:
        """Return the state before the first merge; ``arrays`` are copied, and their rank is the largest.

        Raises
        ------
        ConfigError
            If ``arrays`` are not factors of one rank and the head.
        """
        count = len(arrays) - self.head
        pairs = _pairs(arrays[:count]) if count >= 2 and not count % 2 else []
        if not pairs or len({pair.rank for pair in pairs}) > 1:
            msg = f"{len(arrays)} arrays with a head of {self.head}: expected A and B of each layer, all of one rank,"
            raise ConfigError(f"{msg} and then the head")
        factors = self._scaled(arrays[:count], pairs[0].rank)
        return AveragedState(factors=factors, head=own(arrays[count:]), version=0)

    def apply(self, state: AveragedState, updates: Sequence[Update]) -> tuple[AveragedState, Diagnostics]:
        """Merge the updates of a round.

        Raises
        ------
        UpdateRefusedError
            If an update has not the shapes of its rank, or is not finite.
        """
        likes = [self._like(state, update) for update in updates]
        accepted = [accept(like, update, version=state.version) for like, update in zip(likes, updates, strict=True)]
        count, by_examples = len(state.factors), shares_of(updates)
        trained = [self._trained(like, update, count) for like, update in zip(likes, updates, strict=True)]
        factors: list[Array] = []
        for i, now in enumerate(_pairs(state.factors)):
            pairs = [pairs[i] for pairs in trained]
            a, b = self._merged(now, pairs, by_examples, [_moves(a, i) for a in accepted])
            factors += [a.astype(now.a.dtype), b.astype(now.b.dtype)]
        shares = [1 / len(updates)] * len(updates) if self.rule == "fedra" else by_examples
        head = own(state.head)
        for share, known in zip(shares, accepted, strict=True):
            step(head, known.deltas[count:], share)
        told = tuple(
            Merged(staleness=a.staleness, weight=share, norm=a.norm) for a, share in zip(accepted, shares, strict=True)
        )
        return AveragedState(factors=tuple(factors), head=head, version=state.version + 1), told

    def arrays(self, state: AveragedState, order: Order | None = None) -> Arrays:
        """Return slices of the rank ordered, by default all, and the head.

        Raises
        ------
        ConfigError
            If the rank is above that of the factors.
        """
        pairs = _pairs(state.factors)
        rank = (order.rank if order is not None else 0) or pairs[0].rank
        for pair in pairs:
            check_rank(rank, pair.shape)
        kept = [factor for pair in pairs for factor in sliced(pair, rank)]
        return (*self._scaled(kept, rank, back=True), *state.head)

    def _merged(self, now: Pair, pairs: Sequence[Pair], shares: Sequence[float], trained: Sequence[bool]) -> Pair:
        if self.rule == "homolora":
            return homolora(pairs, shares)
        if self.rule == "fedra":
            return fedra(now, [pair if moved else None for pair, moved in zip(pairs, trained, strict=True)])
        mean = hetlora(pairs)
        a = np.concatenate([mean.a, now.a[:, mean.rank :]], axis=1)
        return Pair(a, np.concatenate([mean.b, now.b[mean.rank :]]))

    def _trained(self, like: Arrays, update: Update, count: int) -> list[Pair]:
        """Return the factors that a client has trained, times and by the root of their scale."""
        base = base_of(like, update)
        now = [np.asarray(b, np.float64) + d for b, d in zip(base[:count], update.delta[:count], strict=True)]
        return _pairs(self._scaled(now, now[0].shape[1]))

    def _like(self, state: AveragedState, update: Update) -> Arrays:
        try:
            return self.arrays(state, update.order)
        except ConfigError as error:
            raise UpdateRefusedError(f"update of client {update.client}: {error}") from error

    def _scaled(self, factors: Sequence[Array], rank: int, *, back: bool = False) -> Arrays:
        """Return A and B times the root of s(r), or by it."""
        root = np.sqrt(scale_of(rank, self.lora_alpha))
        by = 1 / root if back else root
        return tuple(np.multiply(factor, by, dtype=factor.dtype) for factor in factors)


def _pairs(factors: Sequence[Array]) -> list[Pair]:
    return [Pair(a, b) for a, b in zip(factors[::2], factors[1::2], strict=True)]


def _moves(accepted: Accepted, layer: int) -> bool:
    return any(accepted.deltas[2 * layer + side].any() for side in (0, 1))
