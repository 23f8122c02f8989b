"""Optimisers of the server behind a barrier: the mean update of a round is a step, or a pseudo-gradient downhill."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from eafl_flower.aggregation.acceptance import accept, begin, check_current, new_clock, own
from eafl_flower.aggregation.barrier import as_round
from eafl_flower.aggregation.merge import step
from eafl_flower.core.orders import Order
from eafl_flower.core.settings import Positive, Range, check_settings
from eafl_flower.types import Array, Arrays, Diagnostics, Merged, Update

Decay = Annotated[float, Range(0, 1, below=True)]


@dataclass(frozen=True, kw_only=True)
class MomentumState:
    """State of ``FedAvgM``; consumed by ``apply``. ``momentum`` has one array for each floating-point one."""

    arrays: Arrays
    momentum: Arrays
    version: int
    clock: Array  # shape (1,): merges that the arrays hold, shared by all states of a stream


@dataclass(frozen=True, kw_only=True)
class FedAvgM:
    r"""Federated averaging with momentum on the server.

    .. math:: v^+ = \beta v + \bar\delta, \qquad \theta^+ = \theta + \eta\,v^+

    :math:`\bar\delta` is the mean update of a round weighted by examples (``combine``) and :math:`v = 0` before the
    first one. To integer arrays their summed delta is added, as by ``FedAvg``, which this is with :math:`\beta = 0`.
    Settings and defaults are those of ``flwr.serverapp.strategy.FedAvgM``.

    Parameters
    ----------
    server_learning_rate
        The rate :math:`\eta`.
    server_momentum
        The momentum :math:`\beta`; 0.9 in most of the source.

    References
    ----------
    Hsu, Qi and Brown, "Measuring the effects of non-identical data distribution for federated visual classification",
    arXiv:1909.06335, 2019.
    """

    server_learning_rate: Positive = 1.0
    server_momentum: Decay = 0.0

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self, arrays: Arrays) -> MomentumState:
        """Return the state before the first merge; ``arrays`` are copied."""
        return MomentumState(arrays=own(arrays), momentum=_memory(arrays), version=0, clock=new_clock())

    def apply(self, state: MomentumState, updates: Sequence[Update]) -> tuple[MomentumState, Diagnostics]:
        """Merge an update, or the mean of several, in place; consumes ``state``. Raises as ``EMAMAggregator.apply``."""
        check_current(state.clock, state.version)
        whole = as_round(updates)
        accepted = accept(state.arrays, whole.update, version=state.version)
        clock, (arrays, momentum) = begin(state.clock, state.arrays, state.momentum)
        for v in momentum:
            v *= v.dtype.type(self.server_momentum)
        step(momentum, _floating(accepted.deltas), 1.0)
        step(arrays, _with_counters(accepted.deltas, momentum), self.server_learning_rate)
        merged = Merged(staleness=accepted.staleness, norm=accepted.norm)
        after = MomentumState(arrays=arrays, momentum=momentum, version=state.version + 1, clock=clock)
        return after, whole.told(merged)

    def arrays(self, state: MomentumState, order: Order | None = None) -> Arrays:
        """Return the current arrays, valid until the next ``apply``; not to be written to."""
        check_current(state.clock, state.version)
        return state.arrays


@dataclass(frozen=True, kw_only=True)
class AdamState:
    """State of ``FedAdam``; consumed by ``apply``. The moments have one array for each floating-point one."""

    arrays: Arrays
    mean: Arrays
    square: Arrays
    version: int
    clock: Array  # shape (1,): merges that the arrays hold, shared by all states of a stream


@dataclass(frozen=True, kw_only=True)
class FedAdam:
    r"""Adam on the server, element by element.

    .. math::
        m^+ = \beta_1 m + (1-\beta_1)\,\bar\delta, \quad
        v^+ = \beta_2 v + (1-\beta_2)\,\bar\delta^2, \quad
        \theta^+ = \theta + \eta\,\frac{\sqrt{1-\beta_2^{t+1}}}{1-\beta_1^{t+1}}\;\frac{m^+}{\sqrt{v^+} + \tau}

    :math:`\bar\delta` is the mean update of round :math:`t = 1, 2, \ldots` weighted by examples (``combine``), and
    :math:`m = v = 0` before the first. To integer arrays their summed delta is added, as by ``FedAvg``. Settings,
    defaults and the correction by :math:`t+1` are those of ``flwr.serverapp.strategy.FedAdam``; algorithm 2 of the
    source has no correction, and :math:`v \ge \tau^2` before the first round.

    Parameters
    ----------
    eta
        The rate :math:`\eta`.
    beta_1, beta_2
        Decay of the two moments.
    tau
        How little adaptive it is: with a large :math:`\tau` all elements have one rate.

    References
    ----------
    Reddi et al., "Adaptive federated optimization", ICLR 2021, algorithm 2.
    """

    eta: Positive = 0.1
    beta_1: Decay = 0.9
    beta_2: Decay = 0.99
    tau: Positive = 1e-3

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self, arrays: Arrays) -> AdamState:
        """Return the state before the first merge; ``arrays`` are copied."""
        moments = {"mean": _memory(arrays), "square": _memory(arrays)}
        return AdamState(arrays=own(arrays), **moments, version=0, clock=new_clock())

    def apply(self, state: AdamState, updates: Sequence[Update]) -> tuple[AdamState, Diagnostics]:
        """Merge an update, or the mean of several, in place; consumes ``state``. Raises as ``EMAMAggregator.apply``."""
        check_current(state.clock, state.version)
        whole = as_round(updates)
        accepted = accept(state.arrays, whole.update, version=state.version)
        clock, (arrays, mean, square) = begin(state.clock, state.arrays, state.mean, state.square)
        moves = tuple(map(self._move, mean, square, _floating(accepted.deltas)))
        power = state.version + 2
        rate = self.eta * (1 - self.beta_2**power) ** 0.5 / (1 - self.beta_1**power)
        step(arrays, _with_counters(accepted.deltas, moves), rate)
        merged = Merged(staleness=accepted.staleness, norm=accepted.norm)
        after = AdamState(arrays=arrays, mean=mean, square=square, version=state.version + 1, clock=clock)
        return after, whole.told(merged)

    def arrays(self, state: AdamState, order: Order | None = None) -> Arrays:
        """Return the current arrays, valid until the next ``apply``; not to be written to."""
        check_current(state.clock, state.version)
        return state.arrays

    def _move(self, mean: Array, square: Array, delta: Array) -> Array:
        """Update the moments of one array in place; return their quotient."""
        kind = mean.dtype.type
        delta = delta.astype(mean.dtype, copy=False)
        mean *= kind(self.beta_1)
        mean += kind(1 - self.beta_1) * delta
        square *= kind(self.beta_2)
        square += kind(1 - self.beta_2) * delta * delta
        root = np.sqrt(square)
        root += kind(self.tau)
        quotient: Array = np.divide(mean, root, out=np.asarray(root))
        return quotient


def _floating(arrays: Arrays) -> Arrays:
    return tuple(array for array in arrays if array.dtype.kind == "f")


def _memory(arrays: Arrays) -> Arrays:
    """Return zeros for the floating-point arrays, of at least 32 bits: squares of halves would vanish."""
    return tuple(np.zeros(a.shape, np.promote_types(a.dtype, np.float32)) for a in _floating(arrays))


def _with_counters(deltas: Arrays, moves: Arrays) -> Arrays:
    """Return ``deltas`` with ``moves`` in place of those that are floating point."""
    given = iter(moves)
    return tuple(next(given) if delta.dtype.kind == "f" else delta for delta in deltas)
