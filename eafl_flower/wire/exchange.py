"""What an aggregator exchanges with clients: what each is sent, and of which kind replies are."""

from typing import Any

from eafl_flower.aggregation.acceptance import accept_message
from eafl_flower.core.orders import Order
from eafl_flower.protocols import Aggregator, MessageAggregator, ParticularAggregator, PersonalAggregator
from eafl_flower.types import Arrays, Kind, Layout, Update


def kind_of(aggregator: Aggregator[Any]) -> Kind:
    """Return of which kind the replies are that it merges."""
    return "message" if isinstance(aggregator, MessageAggregator) else "difference"


def is_personal(aggregator: Aggregator[Any]) -> bool:
    """Return whether each client starts from arrays of its own."""
    return isinstance(aggregator, PersonalAggregator) and aggregator.is_personal


def arrays_for(aggregator: Aggregator[Any], state: Any, client: int, order: Order | None = None) -> Arrays:
    """Return what a job of ``client`` with this order starts from; without an order, what it evaluates."""
    if isinstance(aggregator, PersonalAggregator) and aggregator.is_personal:
        return aggregator.arrays_of(state, client, order)
    return aggregator.arrays(state, order)


def check_message(aggregator: Aggregator[Any], state: Any, update: Update, layout: Layout) -> None:
    """Raise ``UpdateRefusedError`` unless a message has this layout, is finite and what the aggregator expects."""
    accept_message(update, layout, version=int(state.version))
    if isinstance(aggregator, ParticularAggregator):
        aggregator.check(state, update)
