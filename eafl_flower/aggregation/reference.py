"""The rules EMAM is compared with: FedAsync, FedBuff and FedAvg."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

import numpy as np

from eafl_flower.aggregation.acceptance import accept, begin, check_current, new_clock, own
from eafl_flower.aggregation.barrier import as_round, the_only
from eafl_flower.aggregation.fleet import Fleet
from eafl_flower.aggregation.merge import step
from eafl_flower.aggregation.staleness import Polynomial, StalenessRule
from eafl_flower.core.orders import Order
from eafl_flower.core.settings import Count, CountFromOne, Positive, Range, check_settings
from eafl_flower.types import Array, Arrays, Diagnostics, Merged, Update

MOST_BUFFERED: Final = 10  # unless a size is given

_INVERSE_ROOT = Polynomial(0.5)


@dataclass(frozen=True, kw_only=True)
class ReferenceState:
    """State of ``FedAsync`` and ``FedAvg``; consumed by ``apply``."""

    arrays: Arrays
    version: int
    clock: Array  # shape (1,): merges that the arrays hold, shared by all states of a stream


@dataclass(frozen=True, kw_only=True)
class FedAsync:
    r"""Mix the global arrays with the client's.

    .. math:: \theta^+ = (1 - a\,s(\tau))\,\theta + a\,s(\tau)\,\theta_k, \qquad \theta_k = \theta_{base} + \delta_k

    Needs ``Update.base``, the arrays the client started from. Integer arrays get the whole delta.

    Parameters
    ----------
    mixing
        The share :math:`a` in (0, 1].
    staleness
        The weight :math:`s`.

    References
    ----------
    Xie, Koyejo and Gupta, "Asynchronous federated optimization", 2019, arXiv 1903.03934, algorithm 1.
    """

    mixing: Annotated[float, Range(0, 1, above=True)] = 0.6
    staleness: StalenessRule = _INVERSE_ROOT

    def __post_init__(self) -> None:
        check_settings(self)

    def make(self, fleet: Fleet) -> "FedAsync":
        """Return the rule with the staleness of a run."""
        return replace(self, staleness=fleet.rule())

    def init(self, arrays: Arrays) -> ReferenceState:
        """Return the state before the first merge; ``arrays`` are copied."""
        return ReferenceState(arrays=own(arrays), version=0, clock=new_clock())

    def apply(self, state: ReferenceState, updates: Sequence[Update]) -> tuple[ReferenceState, Diagnostics]:
        """Merge the one update in place; consumes ``state``.

        Raises
        ------
        UpdateRefusedError
            If ``accept`` refuses the update or its base; ``state`` is unchanged and usable.
        ConsumedStateError
            If ``state`` has been used before.
        ConfigError
            If there are several updates.
        ValueError
            If the update has no base.
        """
        check_current(state.clock, state.version)
        update = the_only(updates, "FedAsync")
        accepted = accept(state.arrays, update, version=state.version)
        if update.base is None:
            msg = f"update of client {update.client} has no base: FedAsync mixes the client's arrays, base + delta"
            raise ValueError(msg)
        # The base came with the update, so it is as little to be trusted.
        base = accept(state.arrays, replace(update, delta=update.base), version=state.version).deltas
        moves = tuple(
            d if a.dtype.kind != "f" else (b + d) - a
            for a, b, d in zip(state.arrays, base, accepted.deltas, strict=True)
        )
        weight = self.staleness.weight(accepted.staleness)
        clock, (arrays,) = begin(state.clock, state.arrays)
        step(arrays, moves, self.mixing * weight)
        merged = Merged(staleness=accepted.staleness, weight=weight, norm=accepted.norm)
        return ReferenceState(arrays=arrays, version=state.version + 1, clock=clock), (merged,)

    def arrays(self, state: ReferenceState, order: Order | None = None) -> Arrays:
        """Return the current arrays, valid until the next ``apply``; not to be written to."""
        check_current(state.clock, state.version)
        return state.arrays


@dataclass(frozen=True, kw_only=True)
class FedAvg:
    r"""Add the update, or the mean of those of a round: :math:`\theta^+ = \theta + \eta_s\,\delta`.

    With a barrier and rate 1 this is federated averaging
    (McMahan et al., "Communication-efficient learning of deep networks from decentralized data", 2017).
    """

    server_rate: Positive = 1.0

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self, arrays: Arrays) -> ReferenceState:
        """Return the state before the first merge; ``arrays`` are copied."""
        return ReferenceState(arrays=own(arrays), version=0, clock=new_clock())

    def apply(self, state: ReferenceState, updates: Sequence[Update]) -> tuple[ReferenceState, Diagnostics]:
        """Merge an update, or the mean of several, in place; consumes ``state``. Raises as ``EMAMAggregator.apply``."""
        check_current(state.clock, state.version)
        whole = as_round(updates)
        accepted = accept(state.arrays, whole.update, version=state.version)
        clock, (arrays,) = begin(state.clock, state.arrays)
        step(arrays, accepted.deltas, self.server_rate)
        merged = Merged(staleness=accepted.staleness, norm=accepted.norm)
        return ReferenceState(arrays=arrays, version=state.version + 1, clock=clock), whole.told(merged)

    def arrays(self, state: ReferenceState, order: Order | None = None) -> Arrays:
        """Return the current arrays, valid until the next ``apply``; not to be written to."""
        check_current(state.clock, state.version)
        return state.arrays


@dataclass(frozen=True, kw_only=True)
class FedBuffState:
    """State of ``FedBuff``; consumed by ``apply``. ``version`` counts flushes, ``received`` updates."""

    arrays: Arrays
    version: int
    buffer: Arrays  # weighted sum of the deltas since the last flush
    buffered: int
    received: int
    clock: Array  # shape (1,): updates that arrays and buffer hold, shared by all states of a stream


@dataclass(frozen=True, kw_only=True)
class FedBuff:
    r"""Collect ``buffer_size`` updates, then add their weighted mean; a version is one flush.

    .. math:: \theta^+ = \theta + \frac{\eta_s}{K} \sum_{i=1}^{K} s(\tau_i)\,\delta_i

    Parameters
    ----------
    buffer_size
        Updates per flush :math:`K`.
    server_rate
        Rate :math:`\eta_s`.
    staleness
        The weight :math:`s`, of staleness counted in flushes.

    References
    ----------
    Nguyen et al., "Federated learning with buffered asynchronous aggregation", AISTATS 2022.
    """

    buffer_size: CountFromOne = 10
    server_rate: Positive = 1.0
    staleness: StalenessRule = _INVERSE_ROOT

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self, arrays: Arrays) -> FedBuffState:
        """Return the state before the first update; ``arrays`` are copied."""
        current = own(arrays)
        buffer = tuple(np.zeros_like(a) for a in current)
        return FedBuffState(arrays=current, version=0, buffer=buffer, buffered=0, received=0, clock=new_clock())

    def apply(self, state: FedBuffState, updates: Sequence[Update]) -> tuple[FedBuffState, Diagnostics]:
        """Take in an update, or the mean of several, in place; consumes ``state``.

        Raises as ``EMAMAggregator.apply`` does.
        """
        check_current(state.clock, state.received)
        whole = as_round(updates)
        accepted = accept(state.arrays, whole.update, version=state.version)
        weight = self.staleness.weight(accepted.staleness)
        clock, (arrays, buffer) = begin(state.clock, state.arrays, state.buffer)
        step(buffer, accepted.deltas, weight)
        full = state.buffered + 1 >= self.buffer_size
        if full:
            # More than K are in a buffer that an aggregator with a larger K began: its mean, too.
            step(arrays, buffer, self.server_rate / max(self.buffer_size, state.buffered + 1))
            for total in buffer:
                total.fill(0)
        after = FedBuffState(
            arrays=arrays,
            version=state.version + full,
            buffer=buffer,
            buffered=0 if full else state.buffered + 1,
            received=state.received + 1,
            clock=clock,
        )
        return after, whole.told(Merged(staleness=accepted.staleness, weight=weight, norm=accepted.norm))

    def arrays(self, state: FedBuffState, order: Order | None = None) -> Arrays:
        """Return the current arrays, without the buffer, valid until the next ``apply``; not to be written to."""
        check_current(state.clock, state.received)
        return state.arrays


@dataclass(frozen=True, kw_only=True)
class Buffered:
    """FedBuff by its settings.

    Parameters
    ----------
    buffer_size
        Updates a flush; 0: the jobs in flight, at most 10.
    server_rate
        See ``FedBuff``.
    """

    buffer_size: Count = 0
    server_rate: Positive = 1.0

    def __post_init__(self) -> None:
        check_settings(self)

    def make(self, fleet: Fleet) -> FedBuff:
        """Return the aggregator."""
        size = self.buffer_size or min(MOST_BUFFERED, fleet.in_flight)
        return FedBuff(buffer_size=size, server_rate=self.server_rate, staleness=fleet.rule())
