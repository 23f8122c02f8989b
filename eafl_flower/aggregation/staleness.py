"""Staleness: what an update is still worth that was computed on old arrays.

The staleness of an update is the number of merges between the arrays its client started from and the
arrays it is merged into. A rule turns it into a weight in (0, 1]; a fresh update always weighs 1.
"""

import math
import statistics
from dataclasses import dataclass, field
from typing import Annotated, Protocol, runtime_checkable

from eafl_flower.aggregation.merge import inner, squared_norm
from eafl_flower.core.settings import CountFromOne, NotNegative, Positive, Range, check_settings
from eafl_flower.types import Arrays


@runtime_checkable
class StalenessRule(Protocol):
    """Weight of an update as a function of its staleness alone."""

    def weight(self, staleness: int) -> float:
        """Return the weight in (0, 1]; raises ``ValueError`` if ``staleness`` is negative."""


def _checked(staleness: int) -> int:
    if staleness < 0:
        msg = f"staleness is {staleness}, expected 0 or more: the update claims a version that does not exist yet"
        raise ValueError(msg)
    return staleness


@dataclass(frozen=True)
class HalfLife:
    r"""Weight :math:`2^{-\tau/h}`: an update ``half_life`` merges old counts one half."""

    half_life: Positive

    def __post_init__(self) -> None:
        check_settings(self)

    @classmethod
    def for_in_flight(cls, in_flight: int) -> "HalfLife":
        """Return the rule for ``in_flight`` clients training at once: half-life max(1, in flight - 1)."""
        return cls(float(max(1, in_flight - 1)))

    def weight(self, staleness: int) -> float:
        """Return 2 ** (-staleness / half_life)."""
        return float(2.0 ** (-_checked(staleness) / self.half_life))


@dataclass(frozen=True, kw_only=True)
class HalfLifeInFlight:
    """The half-life by its settings.

    Parameters
    ----------
    merges
        Half-life; 0: one less than the jobs in flight, at least 1.
    """

    merges: NotNegative = 0.0

    def __post_init__(self) -> None:
        check_settings(self)

    def make(self, in_flight: int) -> HalfLife:
        """Return the rule."""
        return HalfLife(self.merges) if self.merges else HalfLife.for_in_flight(in_flight)


@dataclass(frozen=True)
class Exponential:
    r"""Weight :math:`e^{-\lambda\tau}`: right when the correlation of update directions decays so."""

    rate: Positive = 0.002

    def __post_init__(self) -> None:
        check_settings(self)

    def weight(self, staleness: int) -> float:
        """Return exp(-rate * staleness)."""
        return math.exp(-self.rate * _checked(staleness))


@dataclass(frozen=True)
class Polynomial:
    r"""Weight :math:`(1+\tau)^{-a}` (Xie et al., 2019; FedBuff with a = 1/2)."""

    exponent: Positive = 0.5

    def __post_init__(self) -> None:
        check_settings(self)

    def weight(self, staleness: int) -> float:
        """Return (1 + staleness) ** -exponent."""
        return float((1.0 + _checked(staleness)) ** -self.exponent)


@dataclass(frozen=True)
class Hinge:
    r"""Weight 1 up to ``b`` merges, then :math:`1/(a(\tau-b)+1)` (Xie et al., 2019)."""

    a: Positive = 10.0
    b: NotNegative = 4.0

    def __post_init__(self) -> None:
        check_settings(self)

    def weight(self, staleness: int) -> float:
        """Return 1 if staleness <= b, else 1 / (a (staleness - b) + 1)."""
        return 1.0 if _checked(staleness) <= self.b else 1.0 / (self.a * (staleness - self.b) + 1.0)


@dataclass(frozen=True)
class Constant:
    """Weight 1 whatever the staleness."""

    def weight(self, staleness: int) -> float:
        """Return 1."""
        _checked(staleness)
        return 1.0


@dataclass(frozen=True, kw_only=True)
class EstimatedState:
    """What the estimated rule has seen; part of the aggregator's state.

    ``last`` holds, per client, the base version and a copy of its last merged update: as much memory
    as the model, per client.
    """

    last: dict[int, tuple[int, Arrays]] = field(default_factory=dict)
    rates: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Estimated:
    r"""Exponential weight whose rate is measured on the updates themselves.

    .. math:: \lambda = \mathrm{clip}\Big(\operatorname{median}\Big[
              \frac{-\ln\max(\cos(\delta_{k,now}, \delta_{k,last}), c)}{v_{now} - v_{last}}\Big], l, u\Big)

    over the last ``window`` pairs of consecutive updates of one client, where :math:`v` is the version
    the update was computed on. Pairs of the same version, or with a zero update, say nothing and are
    left out. Keeps the last update of every client: memory of one model per client, so this rule is
    for tens of clients or small models, not for 100,000 vehicles.

    Parameters
    ----------
    initial_rate
        Rate per version before the first pair; measured on real updates it was 0.018 to 0.043.
    window
        Number of pairs the median runs over.
    least_cosine
        Floor :math:`c` of the cosine, so that opposite updates count as a finite decay.
    least_rate, greatest_rate
        Bounds :math:`l, u` of the estimate.
    """

    initial_rate: Positive = 0.03
    window: CountFromOne = 64
    least_cosine: Annotated[float, Range(0, 1, above=True)] = 0.05
    least_rate: Positive = 0.001
    greatest_rate: Positive = 1.0

    def __post_init__(self) -> None:
        check_settings(self)

    def init(self) -> EstimatedState:
        """Return the state before the first update."""
        return EstimatedState()

    def rule(self, state: EstimatedState) -> Exponential:
        """Return the rule that the pairs seen so far give."""
        rate = statistics.median(state.rates) if state.rates else self.initial_rate
        return Exponential(min(max(rate, self.least_rate), self.greatest_rate))

    def observe(self, state: EstimatedState, client: int, base_version: int, delta: Arrays) -> EstimatedState:
        """Take in one update that is about to be merged; keeps a copy of ``delta``."""
        rates = state.rates
        previous = state.last.get(client)
        if previous is not None and base_version > previous[0]:
            lengths = math.sqrt(squared_norm(delta)) * math.sqrt(squared_norm(previous[1]))
            if lengths > 0:
                cosine = min(max(inner(delta, previous[1]) / lengths, self.least_cosine), 1.0)
                rates = (*rates, -math.log(cosine) / (base_version - previous[0]))[-self.window :]
        seen = (base_version, tuple(d.copy() for d in delta))
        return EstimatedState(last={**state.last, client: seen}, rates=rates)
