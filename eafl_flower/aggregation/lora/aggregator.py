"""Adapters of unequal rank, merged in product space: behind a barrier a round at a time, otherwise as they come."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

import numpy as np

from eafl_flower.aggregation.acceptance import Accepted, accept, base_of, own
from eafl_flower.aggregation.barrier import shares_of
from eafl_flower.aggregation.lora.factors import LowRank, Pair, balanced_pair, check_pairs, check_rank, scale_of
from eafl_flower.aggregation.lora.forms import Form, Scaled, Trained, merged_layer
from eafl_flower.aggregation.lora.product import pair_term, sum_of_products
from eafl_flower.aggregation.merge import squared_norm, step
from eafl_flower.aggregation.staleness import HalfLife, StalenessRule
from eafl_flower.core.orders import Order
from eafl_flower.core.rng import generator
from eafl_flower.core.settings import Count, NotNegative, Positive, Range, check_settings
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.types import Array, Arrays, Diagnostics, Merged, Update

_EXAMPLE_WEIGHTS: Final = (0.2, 5.0)
_TEN_IN_FLIGHT: Final = HalfLife.for_in_flight(10)


@dataclass(frozen=True, kw_only=True)
class LoRAState:
    """State of ``LoRAAggregator``.

    A merge makes new arrays, so a state may be used again after ``apply``. ``initial`` are the factors that the run was
    given, until the first merge. ``discarded`` is the largest share of a layer's energy that the last merge cut off;
    ``examples`` and ``updates`` are sums over all updates merged.
    """

    layers: tuple[LowRank, ...]
    head: Arrays
    initial: Arrays
    version: int
    rank: int
    dtype: str
    discarded: float = 0.0
    examples: float = 0
    updates: int = 0


@dataclass(frozen=True, kw_only=True)
class LoRAAggregator:
    r"""Keep each adapted layer as a matrix of low rank; hand out its best part of the rank ordered; merge products.

    The arrays are :math:`A_1, B_1, A_2, B_2, \ldots` and then those of the head, with A ``(d_in, r)`` and B
    ``(r, d_out)``: a layer counts as :math:`x \mapsto x W + s(r)\, x A B`, :math:`s(r) = \alpha_L / r`. A job whose
    order has the rank r starts from ``balanced_pair`` of the layer; one without has the rank of the initial arrays,
    and so has what is evaluated and saved. Its update is merged as ``forms.merged_layer`` says, by default

    .. math:: \Theta^+ = \Theta + a\,w(\tau)\,s(r)\,(A'B' - \hat A \hat B)

    with the factors :math:`\hat A, \hat B` that the client decoded, so the rest of :math:`\Theta` stays. A round is
    merged with the shares of its examples and :math:`w = 1`. N updates of one version with :math:`a = 1/N`
    and without a discount do what one round of them does. Head arrays move by the same weights; integers are counters.

    Parameters
    ----------
    alpha
        Step :math:`a`: 1 behind a barrier, 1 / N with N clients in flight.
    staleness
        The weight :math:`w` of an update that comes late; a fresh one weighs 1.
    form, agg_scale
        See ``forms``.
    lora_alpha
        :math:`\alpha_L`; clients need the same.
    max_rank
        Largest rank that is kept of a layer and may be ordered; 0: twice that of the initial arrays.
    head
        Number of arrays behind the factors.
    weight_by_examples
        Multiply a single update by its examples over their mean, clipped to [0.2, 5].
    mean_examples
        That mean; 0: of all updates so far.
    units, unit_rank
        Whether the updates of a round are added up by the roadside units of their orders first, and the largest rank of
        what a unit sends to the cloud (0: twice ``max_rank``). See ``forms``.
    seed
        Of the columns that begin anew: they depend on it, the layer and the version, and are the same for all clients.

    Raises
    ------
    ConfigError
        If a setting is out of range.

    Examples
    --------
    >>> aggregator = LoRAAggregator(lora_alpha=1.0)
    >>> state = aggregator.init((np.array([[1.0], [0.0]]), np.array([[0.0, 0.0, 0.0]])))
    >>> base = aggregator.arrays(state)
    >>> delta = (np.zeros((2, 1)), np.array([[0.0, 3.0, 4.0]]))
    >>> state, _ = aggregator.apply(state, [Update(client=0, delta=delta, base=base, base_version=0, num_examples=1)])
    >>> a, b = aggregator.arrays(state)
    >>> state.layers[0].s.round(12).tolist(), (a @ b).round(12).tolist()
    ([5.0], [[0.0, 3.0, 4.0], [0.0, 0.0, 0.0]])
    """

    alpha: Annotated[float, Range(0, 1, above=True)] = 1.0
    staleness: StalenessRule = _TEN_IN_FLIGHT
    form: Form = "delta"
    agg_scale: Scaled = "include"
    lora_alpha: Positive = 32.0
    max_rank: Count = 0
    head: Count = 0
    weight_by_examples: bool = False
    mean_examples: NotNegative = 0.0
    units: bool = False
    unit_rank: Count = 0
    seed: Count = 0

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self, arrays: Arrays) -> LoRAState:
        """Return the state before the first merge; ``arrays`` are copied.

        Raises
        ------
        ConfigError
            If ``arrays`` are not pairs of factors and the head, ranks differ or do not fit a layer.
        """
        count = len(arrays) - self.head
        if count < 2 or count % 2:
            msg = f"{len(arrays)} arrays with a head of {self.head}: expected A and B of each layer, and then the head"
            raise ConfigError(msg)
        factors, head = own(arrays[:count]), own(arrays[count:])
        kinds, pairs = sorted({f.dtype.name for f in factors}), _pairs(factors)
        if len(kinds) > 1 or kinds[0] not in ("float32", "float64"):
            raise ConfigError(f"adapters have dtypes {', '.join(kinds)}: expected float32, or float64, for all")
        for i, pair in enumerate(pairs):
            try:
                check_rank(pair.rank, check_pairs([pair], f"layer {i}"))
            except (UpdateRefusedError, ConfigError) as error:
                raise ConfigError(f"initial arrays: layer {i}: {error}") from error
        if len(ranks := sorted({pair.rank for pair in pairs})) > 1:
            raise ConfigError(f"initial arrays have adapters of ranks {ranks}: expected one rank for all layers")
        if 0 < self.max_rank < ranks[0]:
            raise ConfigError(
                f"max_rank = {self.max_rank}: the initial arrays have rank {ranks[0]}, expected that at least"
            )
        terms = [[pair_term(pair, self._scale(pair.rank))] for pair in pairs]
        kept = self._most(ranks[0])
        layers = tuple(sum_of_products(term, most=kept, tolerance=_resolution(kinds[0])).matrix for term in terms)
        return LoRAState(layers=layers, head=head, initial=factors, version=0, rank=ranks[0], dtype=kinds[0])

    def apply(self, state: LoRAState, updates: Sequence[Update]) -> tuple[LoRAState, Diagnostics]:
        """Merge an update, or those of a round.

        Raises
        ------
        UpdateRefusedError
            If an update has not the shapes of its rank, is not finite, or ``accept`` refuses it or its base.
        ValueError
            If there is no update, one has no base, or those of a round have several base versions.
        """
        self._check_round(updates)
        likes = [self._like(state, update) for update in updates]
        accepted = [accept(like, update, version=state.version) for like, update in zip(likes, updates, strict=True)]
        bases = [_base(like, update) for like, update in zip(likes, updates, strict=True)]
        weights = [self._weight(state, updates[0], accepted[0])] if len(updates) == 1 else [1.0] * len(updates)
        shares = shares_of(updates)
        count = 2 * len(state.layers)
        before = [_pairs(_doubled(base[:count])) for base in bases]
        moves = [_pairs(_doubled(a.deltas[:count])) for a in accepted]
        units = [update.order.unit for update in updates] if self.units else []
        layers, discarded = [], 0.0
        for i, matrix in enumerate(state.layers):
            trained = [
                Trained(base=b[i], pair=Pair(b[i].a + m[i].a, b[i].b + m[i].b))
                for b, m in zip(before, moves, strict=True)
            ]
            summed = merged_layer(
                matrix,
                trained,
                shares,
                form=self.form,
                step=self.alpha * weights[0],
                lora_alpha=self.lora_alpha,
                agg_scale=self.agg_scale,
                most=self._most(state.rank),
                tolerance=_resolution(state.dtype),
                units=units,
                unit_rank=self.unit_rank or 2 * self._most(state.rank),
            )
            layers.append(summed.matrix)
            discarded = max(discarded, summed.discarded)
        head = own(state.head)
        for share, a in zip(shares, accepted, strict=True):
            step(head, a.deltas[count:], self.alpha * weights[0] * share)
        after = replace(
            state,
            layers=tuple(layers),
            head=head,
            initial=(),
            version=state.version + 1,
            discarded=discarded,
            examples=state.examples + sum(update.num_examples for update in updates),
            updates=state.updates + len(updates),
        )
        told = tuple(
            Merged(staleness=a.staleness, weight=weight * share, norm=a.norm)
            for a, weight, share in zip(accepted, weights, shares, strict=True)
        )
        return after, told

    def arrays(self, state: LoRAState, order: Order | None = None) -> Arrays:
        """Return the factors of the rank ordered, and the head.

        Raises
        ------
        ConfigError
            If the rank does not fit a layer, or is above the largest that is kept.
        """
        rank = self._rank(state, order)
        if state.initial and rank == state.rank:
            return (*state.initial, *state.head)
        factors: list[Array] = []
        for i, layer in enumerate(state.layers):
            rng = generator(self.seed, "new columns", i, state.version)
            factors += balanced_pair(layer, rank, self._scale(rank), rng)
        return (*(np.ascontiguousarray(f, dtype=state.dtype) for f in factors), *state.head)

    def _scale(self, rank: int) -> float:
        return scale_of(rank, self.lora_alpha) if self.agg_scale == "include" else 1.0

    def _most(self, rank: int) -> int:
        return self.max_rank or 2 * rank

    def _rank(self, state: LoRAState, order: Order | None) -> int:
        rank = (order.rank if order is not None else 0) or state.rank
        if rank > (most := self._most(state.rank)):
            msg = f"rank {rank} was ordered, adapters are kept up to rank {most}: order less, or raise max_rank"
            raise ConfigError(msg)
        for layer in state.layers:
            check_rank(rank, layer.shape)
        return rank

    def _like(self, state: LoRAState, update: Update) -> Arrays:
        """Return arrays of the layout that the job of an update started from."""
        try:
            rank = self._rank(state, update.order)
        except ConfigError as error:
            raise UpdateRefusedError(f"update of client {update.client}: {error}") from error
        shapes = [shape for d_in, d_out in (m.shape for m in state.layers) for shape in ((d_in, rank), (rank, d_out))]
        zero = np.zeros((), state.dtype)
        return (*(np.broadcast_to(zero, shape) for shape in shapes), *state.head)

    def _check_round(self, updates: Sequence[Update]) -> None:
        versions = {update.base_version for update in updates}
        if len(versions) != 1:
            told = sorted(versions) or "none"
            raise ValueError(f"updates to merge have base versions {told}, expected updates of one version")

    def _weight(self, state: LoRAState, update: Update, accepted: Accepted) -> float:
        weight = self.staleness.weight(accepted.staleness)
        if not self.weight_by_examples:
            return weight
        mean = self.mean_examples or (state.examples + update.num_examples) / (state.updates + 1)
        return weight * (
            min(max(update.num_examples / mean, _EXAMPLE_WEIGHTS[0]), _EXAMPLE_WEIGHTS[1]) if mean else 1.0
        )


def _base(like: Arrays, update: Update) -> Arrays:
    """Return what the client began with; it came with the update, so it is as little to be trusted."""
    base = base_of(like, update)
    if not np.isfinite(squared_norm(base)):
        raise UpdateRefusedError(f"update of client {update.client} has a base that is not finite: NaN or infinite")
    return base


def _pairs(factors: Arrays) -> list[Pair]:
    return [Pair(a, b) for a, b in zip(factors[::2], factors[1::2], strict=True)]


def _doubled(arrays: Arrays) -> Arrays:
    return tuple(np.asarray(a, dtype=np.float64) for a in arrays)


def _resolution(dtype: str) -> float:
    """Return below which share of the largest singular value a column would be noise of the arrays' rounding."""
    return float(np.finfo(dtype).eps)
