r"""EMAM: asynchronous merges with an exponential moving average of the model.

Each update moves the global arrays to the exact minimiser of a quadratic energy (``objective.energy``).
The source divides all terms by :math:`1+\beta` in code and only one in its documentation; the code's
form is the minimiser and is the one built here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np

from eafl_flower.aggregation.acceptance import Accepted, accept, begin, check_current, new_clock, own
from eafl_flower.aggregation.barrier import as_round
from eafl_flower.aggregation.fleet import Fleet
from eafl_flower.aggregation.merge import pull, squared_norm, step
from eafl_flower.aggregation.newest import NewestMean
from eafl_flower.aggregation.norm_guard import guard_scale, noted
from eafl_flower.aggregation.objective import energy
from eafl_flower.aggregation.staleness import Estimated, EstimatedState, Exponential, HalfLife, StalenessRule
from eafl_flower.core.orders import Order
from eafl_flower.core.settings import NOT_A_SETTING, NotNegative, Positive, Range, check_settings
from eafl_flower.errors import ConfigError
from eafl_flower.types import Array, Arrays, Diagnostics, Merged, Update, layout_of

_EXAMPLE_WEIGHTS = (0.2, 5.0)
_TEN_IN_FLIGHT = HalfLife.for_in_flight(10)


@dataclass(frozen=True, kw_only=True)
class EMAMState:
    """State of ``EMAMAggregator``; consumed by ``apply``.

    ``average`` is the moving average, or None where nobody reads it. ``norms`` are the L2 norms of the
    last accepted updates, after the guard; ``examples`` is the sum of examples over all merges.
    """

    arrays: Arrays
    average: Arrays | None
    version: int
    clock: Array  # shape (1,): merges that the arrays hold, shared by all states of a stream
    norms: tuple[float, ...] = ()
    examples: float = 0
    observed: EstimatedState = field(default_factory=EstimatedState)


@dataclass(frozen=True, kw_only=True)
class EMAMSettings:
    """What ``EMAMAggregator`` is set to beside its step."""

    beta: NotNegative = 0.0
    mu: Annotated[float, Range(0, 1, below=True)] = 0.95
    norm_guard: NotNegative = 4.0  # times the median norm; 0: off
    weight_by_examples: bool = False
    serve: Literal["current", "average"] = "current"
    self_check: bool = False  # note the energy before and after each merge


@dataclass(frozen=True, kw_only=True)
class EMAMAggregator(EMAMSettings):
    r"""Merge each update by one proximal step, kept near the moving average.

    .. math:: \theta^+ = \theta + \frac{\alpha\, w\, c\, \delta - \eta g + \beta(\bar\theta - \theta)}{1+\beta},
              \qquad \bar\theta^+ = \mu\bar\theta + (1-\mu)\theta^+

    with :math:`w` the staleness weight (times the weight by examples), :math:`c \le 1` the norm guard's
    scale and :math:`g` the gradient of a public proxy loss at :math:`\theta`. With :math:`\beta > 0` an
    update is pulled back later: its permanent share is :math:`(1-\mu)/(1+\beta-\mu)`.

    Parameters
    ----------
    alpha
        Step size :math:`\alpha`.
    beta
        Stiffness :math:`\beta` of the spring to the average; 0 makes the average a by-product.
    mu
        Memory :math:`\mu` of the average.
    staleness
        Staleness rule; ``HalfLife.for_in_flight(n)`` is made for n clients training at once.
    norm_guard
        Updates longer than this many times the median of the last 64 accepted norms are scaled down to
        that length, the first 16 to ``early_norms.longest_early``; 0 switches the guard off. Values are checked
        either way.
    weight_by_examples
        Multiply by the update's examples over the mean of all updates so far, clipped to [0.2, 5].
    serve
        What is evaluated and saved: the "current" arrays or the "average". Clients get the current ones.
    proxy
        Gradient of a public loss, shapes as the arrays, evaluated at the current arrays; or None.
    eta, proxy_limit
        Step :math:`\eta` of the proxy gradient, lowered until
        :math:`\eta\|g\| \le` ``proxy_limit`` :math:`\cdot\|\alpha w c\,\delta\|`.
    self_check
        Tell the energy J (``objective.energy``) before and after each merge; it costs several copies of the arrays.

    Raises
    ------
    ConfigError
        If a parameter is out of range.

    References
    ----------
    EAFL-ALP, aggregation "EMAM"; weights after Xie et al., "Asynchronous federated optimization", 2019.

    Examples
    --------
    >>> aggregator = EMAMAggregator(alpha=0.5, staleness=HalfLife(1.0))
    >>> state = aggregator.init((np.zeros(2),))
    >>> update = Update(client=0, delta=(np.ones(2),), base_version=0, num_examples=1)
    >>> state, _ = aggregator.apply(state, [update])
    >>> state, (merged,) = aggregator.apply(state, [update])  # one merge late: half the weight
    >>> aggregator.arrays(state)[0].tolist(), state.version, merged.weight
    ([0.75, 0.75], 2, 0.5)
    """

    alpha: Positive = 0.8
    staleness: StalenessRule | Estimated = _TEN_IN_FLIGHT
    proxy: Callable[[Arrays], Arrays] | None = None
    eta: NotNegative = 1e-3
    proxy_limit: float = field(default=0.1, metadata=NOT_A_SETTING)  # may be infinite

    def __post_init__(self) -> None:
        is_limit = self.proxy_limit >= 0
        check_settings(self, proxy_limit="" if is_limit else "expected 0 or more")

    @classmethod
    def paper(
        cls, variant: Literal["geolife", "ton-iot"] = "geolife", proxy: Callable[[Arrays], Arrays] | None = None
    ) -> "EMAMAggregator":
        """Return the source's settings, for its GeoLife and NGSIM or its TON_IoT and IoT device runs."""
        if variant not in ("geolife", "ton-iot"):
            msg = f"variant = {variant!r}: expected 'geolife' or 'ton-iot'"
            raise ConfigError(msg)
        alpha, mu = (0.8, 0.95) if variant == "geolife" else (1.0, 0.9)
        rule = Exponential(2e-3)
        return cls(
            alpha=alpha, beta=0.2, mu=mu, staleness=rule, norm_guard=0.0, proxy=proxy, eta=1e-3, proxy_limit=math.inf
        )

    def init(self, arrays: Arrays) -> EMAMState:
        """Return the state before the first merge; ``arrays`` are copied, the average starts at them."""
        average = own(arrays) if self.beta > 0 or self.serve == "average" else None
        return EMAMState(arrays=own(arrays), average=average, version=0, clock=new_clock())

    def apply(self, state: EMAMState, updates: Sequence[Update]) -> tuple[EMAMState, Diagnostics]:
        """Merge an update, or the mean of several, in place; consumes ``state``.

        Of several none is longer than ``norm_guard`` times their median.

        Raises
        ------
        UpdateRefusedError
            If ``accept`` refuses an update; ``state`` is unchanged and usable.
        ConsumedStateError
            If ``state`` has been used before.
        ValueError
            If the proxy gradient has other shapes or is not finite; ``state`` is unchanged and usable.
        """
        check_current(state.clock, state.version)
        whole = as_round(updates, self.norm_guard)
        update = whole.update
        accepted = accept(state.arrays, update, version=state.version)
        weight = self._weight(state, accepted, update)
        scale = guard_scale(state.arrays, state.norms, accepted.norm, self.norm_guard)
        deltas, push = accepted.deltas, self.alpha * weight * scale
        if self.proxy is not None:
            deltas, push = self._with_proxy(state.arrays, deltas, push, push * accepted.norm), 1.0
        observed = state.observed
        if isinstance(self.staleness, Estimated):
            observed = self.staleness.observe(observed, update.client, update.base_version, accepted.deltas)
        kept = () if state.average is None else state.average
        before = (own(state.arrays), own(kept)) if self.self_check else None
        clock, (arrays, average) = begin(state.clock, state.arrays, kept)
        damping = 1.0 + self.beta
        if state.average is None:
            step(arrays, deltas, push / damping)
        else:
            pull(arrays, deltas, average, weight=push / damping, stiffness=self.beta / damping, momentum=self.mu)
        objective = (None, None) if before is None else self._objective(*before, arrays, deltas, push)
        after = EMAMState(
            arrays=arrays,
            average=None if state.average is None else average,
            version=state.version + 1,
            clock=clock,
            norms=noted(state.norms, scale * accepted.norm, self.norm_guard),
            examples=state.examples + update.num_examples,
            observed=observed,
        )
        merged = Merged(
            staleness=accepted.staleness,
            weight=weight,
            scale=scale,
            norm=accepted.norm,
            objective_before=objective[0],
            objective_after=objective[1],
        )
        return after, whole.told(merged)

    def arrays(self, state: EMAMState, order: Order | None = None) -> Arrays:
        """Return the current arrays or, without an order, those that ``serve`` says, valid until the next ``apply``."""
        check_current(state.clock, state.version)
        serves_average = order is None and self.serve == "average"
        return state.average if serves_average and state.average is not None else state.arrays

    def _weight(self, state: EMAMState, accepted: Accepted, update: Update) -> float:
        rule = self.staleness.rule(state.observed) if isinstance(self.staleness, Estimated) else self.staleness
        weight = rule.weight(accepted.staleness)
        total = state.examples + update.num_examples
        if self.weight_by_examples and total:
            share = update.num_examples * (state.version + 1) / total
            weight *= min(max(share, _EXAMPLE_WEIGHTS[0]), _EXAMPLE_WEIGHTS[1])
        return weight

    def _objective(
        self, arrays: Arrays, average: Arrays, merged: Arrays, deltas: Arrays, push: float
    ) -> tuple[float, float]:
        """Return J at the arrays before and after a merge; integer arrays are counters and have no part in it."""
        places = [i for i, array in enumerate(arrays) if array.dtype.kind == "f"]
        theta, new, q = (tuple(group[i] for i in places) for group in (arrays, merged, deltas))
        mean = tuple(average[i] for i in places) if average else None
        force = tuple(push * np.asarray(d, dtype=np.float64) for d in q)
        before = energy(theta, theta, force, average=mean, beta=self.beta)
        return before, energy(new, theta, force, average=mean, beta=self.beta)

    def _with_proxy(self, arrays: Arrays, deltas: Arrays, push: float, length: float) -> Arrays:
        """Return ``push * delta - eta * g`` as new arrays; integer arrays keep their delta."""
        assert self.proxy is not None
        gradient = self.proxy(arrays)
        shapes, expected = [g.shape for g in gradient], [a.shape for a in arrays]
        if shapes != expected:
            msg = f"the proxy gradient has shapes {shapes}, expected {expected}"
            raise ValueError(msg)
        norm = math.sqrt(squared) if math.isfinite(squared := squared_norm(gradient)) else math.nan
        if math.isnan(norm):
            msg = f"the proxy gradient is not finite at {layout_of(arrays)}"
            raise ValueError(msg)
        eta = min(self.eta, self.proxy_limit * length / norm) if norm > 0 else 0.0
        return tuple(
            d if d.dtype.kind != "f" else (push * d - eta * np.asarray(g)).astype(d.dtype, copy=False)
            for d, g in zip(deltas, gradient, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class EMAM(EMAMSettings):
    """EMAM by its settings: without a step ``alpha`` the mean of the clients' newest models, with a barrier of step 1.

    Parameters
    ----------
    alpha
        Step of ``EMAMAggregator``; 0: the mean of the newest models (``NewestMean``), whose step needs no tuning.
    """

    alpha: NotNegative = 0.0

    def __post_init__(self) -> None:
        check_settings(self)

    def make(self, fleet: Fleet) -> EMAMAggregator | NewestMean:
        """Return the aggregator."""
        if not self.alpha and not fleet.barrier:
            return NewestMean(clients=fleet.clients, norm_guard=self.norm_guard)
        settings: dict[str, Any] = vars(self) | {"alpha": self.alpha or 1.0}
        return EMAMAggregator(**settings, staleness=fleet.staleness)
