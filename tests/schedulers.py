"""Schedulers for tests, with a state that matters."""

from dataclasses import dataclass, field, replace

from eafl_flower.core.orders import Enough, Order


@dataclass(frozen=True)
class Seen:
    """How many jobs of each client have begun, and have been merged; joules they took."""

    begun: dict[int, int] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)
    energy_j: float = 0.0


@dataclass(frozen=True)
class Growing:
    """Client k makes k + 1 epochs, and one more after each merge up to ``most``; every fifth stops by a rule."""

    most: int = 4

    def init(self, clients):
        return Seen()

    def offer(self, state, client, forecast):
        merged = state.merged.get(client, 0)
        if client % 5 == 4:
            return Order(stop=Enough(share=0.05, least=1, most=3))
        return Order(epochs=min(client + 1 + merged, self.most))

    def learn(self, state, outcome):
        counts = getattr(state, outcome.kind, None) if outcome.kind in ("begun", "merged") else None
        if counts is None:
            return state
        counts = {**counts, outcome.client: counts.get(outcome.client, 0) + 1}
        return replace(state, **{outcome.kind: counts}, energy_j=state.energy_j + outcome.energy_j)


@dataclass(frozen=True)
class OneAtATime:
    """Gives an order only while no job is open, and only to clients that have had fewer than ``most`` jobs."""

    most: int = 1000

    def init(self, clients):
        return (0,)

    def offer(self, state, client, forecast):
        return None if state[0] or forecast.jobs >= self.most else Order()

    def learn(self, state, outcome):
        return (state[0] + (1 if outcome.kind == "begun" else -1),)
