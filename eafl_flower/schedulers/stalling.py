"""A number of epochs that changes with the rounds: when the training loss hardly falls any more."""

import math
from dataclasses import dataclass, replace

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import Order
from eafl_flower.core.settings import Count, CountFromOne, NotNegative, check_settings


@dataclass(frozen=True, kw_only=True)
class StallState:
    """State of ``WhenStalled``.

    ``epochs`` are those of the round ``server_round``, ``loss`` is the mean loss of the round before it, infinite if
    there was none, and of this one ``summed`` / ``weight`` so far.
    """

    epochs: int
    server_round: int = 1
    loss: float = math.inf
    summed: float = 0.0
    weight: float = 0.0


@dataclass(frozen=True, kw_only=True)
class WhenStalled:
    r"""All clients make :math:`L_t` epochs in round :math:`t`, and more, or fewer, after one in which the loss stalled.

    .. math::
        F_t = \frac{\sum_k n_k f_k}{\sum_k n_k}, \qquad
        L_{t+1} = \begin{cases}
            \min(\max(L_t + \Delta,\ L_{min}),\ L_{max}) & \frac{F_{t-1}-F_t}{F_{t-1}} < \xi \text{ and } t > k_0 \\
            L_t & \text{else}
        \end{cases}

    :math:`f_k` is the loss that client :math:`k` reports of its training in round :math:`t` (the mean over its last
    epoch), :math:`n_k` the weight of its update. Before the first round the loss counts as infinite, and infinity
    falls by all of it. So with :math:`\xi` above 1 every round is one that stalled, as losses are not negative. Without
    a barrier a round is a round's worth of updates, in the order in which they are merged. A round without an update
    whose client reports a finite ``loss`` changes nothing.

    Parameters
    ----------
    first
        Epochs :math:`L_1`.
    step
        The change :math:`\Delta`; negative for fewer.
    least, most
        Bounds :math:`L_{min}` and :math:`L_{max}`.
    share
        The share :math:`\xi`.
    after
        Rounds :math:`k_0` before any change.

    Raises
    ------
    ConfigError
        If a number is out of range, or ``first`` not from ``least`` to ``most``.
    """

    first: CountFromOne = 2
    step: int = 1
    least: CountFromOne = 1
    most: CountFromOne = 12
    share: NotNegative = 0.02
    after: Count = 0

    def __post_init__(self) -> None:
        inside = self.least <= self.first <= self.most
        text = "" if inside else f"expected an integer from least = {self.least} to most = {self.most}"
        check_settings(self, first=text)

    def init(self, clients: int) -> StallState:
        """Return the state before the first round."""
        return StallState(epochs=self.first)

    def offer(self, state: StallState, client: int, forecast: Forecast) -> Order:
        """Return the epochs of this round: of all its jobs the same."""
        return Order(epochs=self._in(state, forecast.server_round).epochs)

    def learn(self, state: StallState, outcome: Outcome) -> StallState:
        """Take the loss of a merged update into the mean of its round."""
        state = self._in(state, outcome.server_round)
        summed = outcome.num_examples * outcome.metrics.get("loss", math.nan)
        if outcome.kind != "merged" or not math.isfinite(state.summed + summed):
            return state
        return replace(state, summed=state.summed + summed, weight=state.weight + outcome.num_examples)

    def _in(self, state: StallState, server_round: int) -> StallState:
        """Return the state in ``server_round``, if that is a later one: its predecessor is over."""
        if server_round <= state.server_round:
            return state
        if not state.weight:
            return replace(state, server_round=server_round)
        loss, epochs = state.summed / state.weight, state.epochs
        if state.server_round > self.after and _decrease(state.loss, loss) < self.share:
            epochs = min(max(epochs + self.step, self.least), self.most)
        return StallState(epochs=epochs, server_round=server_round, loss=loss)


def _decrease(before: float, now: float) -> float:
    """Return the relative decrease of a loss; one that is 0 cannot fall."""
    if math.isinf(before):
        return 1.0
    return (before - now) / abs(before) if before else 0.0
