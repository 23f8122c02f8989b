"""What a client is to do next."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What a client is to do in one job; what is not given is as always.

    Parameters
    ----------
    model
        Name of the model to train; "" for the only one, or the first.
    rank
        Rank of the adapters to train, for methods that have some; 0: they have none, or the method's own.
    epochs
        Passes over its rows that the client makes; 0: as many as its own settings say.
    """

    model: str = ""
    rank: int = 0
    epochs: int = 0


NO_ORDER = Order()
