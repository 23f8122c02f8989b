"""Jobs and clients as a run keeps them: plain values that a checkpoint can hold."""

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from eafl_flower.core.orders import ANY_ORDER, NO_ORDER, Order
from eafl_flower.radio.price import JobPrice
from eafl_flower.radio.transfers import Transfer
from eafl_flower.types import Arrays, Grant, Phase
from eafl_flower.wire.streams import StoredStreams


@dataclass(kw_only=True, slots=True)
class Job:
    """One dispatch to one client.

    ``load`` is the counter of the client state it starts from, ``onto`` the same if its arrays are sent as the
    difference to what that state holds, 0 if they are sent whole. ``order`` is what it is to do. ``ends_s`` is when its
    client vanishes or its deadline passes, infinite if neither happens. ``server_round`` is the number of its round, or
    round's worth, from 1. ``uplink_*`` are known once the reply is in.
    """

    client: int
    counter: int
    load: int
    onto: int = 0
    base_version: int
    order: Order = NO_ORDER
    server_round: int = 1
    price: JobPrice
    ends_s: float
    downlink_bytes: int = 0
    downlink_framed_bytes: int = 0
    uplink_bytes: int = 0
    uplink_framed_bytes: int = 0


_NOTHING = Phase(time_s=0.0, energy_j=0.0)
_NO_PRICE = JobPrice(
    dispatched_s=0.0,
    download=_NOTHING,
    compute=_NOTHING,
    upload=Transfer(start_s=0.0, num_bits=0, bits_left=0.0, before=_NOTHING, grant=Grant(rate_bit_s=0.0, power_w=0.0)),
)
# What the elements of a stored tuple look like: one of them tells the classes to restore.
ANY_JOB = Job(client=0, counter=0, load=0, base_version=0, order=ANY_ORDER, price=_NO_PRICE, ends_s=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredJobs:
    """The open jobs of a checkpoint.

    They are sent again by a run that resumes: the whole arrays of the ``versions`` they started from, or the very
    payload that was the difference to what the client's stream holds. Versions and streams are those of each model.
    """

    jobs: tuple[Job, ...]
    versions: dict[str, dict[int | str, Arrays]]
    payloads: dict[int, NDArray[np.uint8]]
    streams: dict[str, StoredStreams]


@dataclass(slots=True)
class InFlight:
    """What a job has on the wire; it is made anew when a run resumes."""

    message_id: str
    reply: Message | None = None


@dataclass(kw_only=True, slots=True)
class ClientTable:
    """One row per client number.

    ``num_examples`` is what a client's jobs are priced with, ``claimed`` the examples of its last update (0: none
    yet). ``counter`` counts dispatches, ``state`` is the counter of the last job whose result the client holds (0:
    none, or it has lost it), ``acknowledged`` that of its last merged upload, 0 again with another model, ``durable``
    the state named by the newest checkpoint, ``failures`` its errors in a row, ``model`` the place of the model of its
    newest job.
    """

    num_examples: NDArray[np.int64]
    claimed: NDArray[np.float64]
    counter: NDArray[np.int64]
    state: NDArray[np.int64]
    acknowledged: NDArray[np.int64]
    durable: NDArray[np.int64]
    failures: NDArray[np.int64]
    model: NDArray[np.int64]

    @classmethod
    def of_size(cls, size: int) -> "ClientTable":
        """Return a table for clients that never had a job."""
        columns = {name: np.zeros(size, np.int64) for name in cls.__dataclass_fields__}
        return cls(**{**columns, "claimed": np.zeros(size)})  # type: ignore[arg-type]

    def grow(self, size: int) -> None:
        """Make room for clients up to number ``size - 1``."""
        for name in type(self).__dataclass_fields__:
            column = getattr(self, name)
            if len(column) < size:
                setattr(self, name, np.concatenate([column, np.zeros(size - len(column), column.dtype)]))


@dataclass(kw_only=True, slots=True)
class IdleClients:
    """Clients that are there and have no job: adding, removing and drawing one at random are O(1)."""

    clients: list[int] = field(default_factory=list)
    _place: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.clients)

    def __contains__(self, client: int) -> bool:
        return client in self._place

    def add(self, client: int) -> None:
        """Add a client that is not idle yet."""
        if client not in self._place:
            self._place[client] = len(self.clients)
            self.clients.append(client)

    def remove(self, client: int) -> None:
        """Remove a client, if it is there."""
        place = self._place.pop(client, None)
        if place is None:
            return
        last = self.clients.pop()
        if last != client:
            self.clients[place] = last
            self._place[last] = place

    def draw(self, rng: np.random.Generator) -> int:
        """Remove and return one client, each with the same probability."""
        client = self.clients[int(rng.integers(len(self.clients)))]
        self.remove(client)
        return client


@dataclass(kw_only=True, slots=True)
class WaitingClients:
    """Clients that are there and have no job, in the order in which they became idle."""

    _since: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, client: int) -> bool:
        return client in self._since

    @property
    def clients(self) -> list[int]:
        """Those who have waited longest first."""
        return list(self._since)

    def add(self, client: int) -> None:
        """Add a client that is not idle yet."""
        self._since.setdefault(client)

    def remove(self, client: int) -> None:
        """Remove a client, if it is there."""
        self._since.pop(client, None)

    def draw(self, rng: np.random.Generator) -> int:
        """Remove and return the client that has waited longest."""
        return self._since.popitem(last=False)[0]
