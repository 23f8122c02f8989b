"""Who spent what: joules, seconds and bytes per client and kind of spending."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Spent:
    """A sum of bookings: energy [J], time [s], payload and framed sizes [byte]."""

    energy_j: float
    time_s: float
    payload_bytes: int
    framed_bytes: int

    @property
    def payload_bits(self) -> int:
        """What the energy model charged the radio for [bit]."""
        return 8 * self.payload_bytes


@dataclass(kw_only=True, eq=False)
class Ledger:
    """The bookings of a run, summed per client and kind.

    A kind is any name ("compute", "uplink", "downlink", "evaluate", ...); clients and kinds appear
    with their first booking. Booking and totals cost the same for ten clients and for 100,000. A
    ledger is a state value that changes in place: ``state.flatten`` gives arrays that the next
    booking changes, so a checkpoint is written (or copied) before the run goes on.

    The fields are for storage; use the methods. Sizes are held as floating point numbers, exact
    below 2**53 bytes.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.book(7, "uplink", energy_j=0.5, payload_bytes=100, framed_bytes=180, time_s=2.0)
    >>> ledger.book(3, "compute", energy_j=1.0, time_s=4.0)
    >>> ledger.total().energy_j, ledger.total("uplink").payload_bits, ledger.of(3).time_s
    (1.5, 800, 4.0)
    """

    kinds: tuple[str, ...] = ()
    amounts: NDArray[np.float64] = field(
        default_factory=lambda: np.zeros((0, 0, 4))
    )  # (clients, kinds, Spent's fields)
    totals: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 4)))  # (kinds, Spent's fields)

    def book(
        self,
        client: int,
        kind: str,
        *,
        energy_j: float = 0.0,
        payload_bytes: int = 0,
        framed_bytes: int = 0,
        time_s: float = 0.0,
    ) -> None:
        """Add one spending of ``client``, in place.

        Parameters
        ----------
        client
            Partition id of the client, at least 0.
        kind
            What it was spent on.
        energy_j, time_s
            Energy [J] and time [s].
        payload_bytes, framed_bytes
            Size of the payload and of the message around it [byte].

        Raises
        ------
        ValueError
            If an amount is negative or not finite, or ``client`` is negative.
        """
        amount = (energy_j, time_s, payload_bytes, framed_bytes)
        if client < 0 or not all(0 <= a < math.inf for a in amount):
            msg = (
                f"booking of client {client} for {kind!r}: energy_j = {energy_j}, time_s = {time_s}, payload_bytes = "
                f"{payload_bytes}, framed_bytes = {framed_bytes}: expected finite amounts and a client of at least 0"
            )
            raise ValueError(msg)
        column = self._column(kind)
        if client >= len(self.amounts):
            self._grow(client + 1)
        self.amounts[client, column] += amount
        self.totals[column] += amount

    def total(self, kind: str | None = None) -> Spent:
        """Sum over all clients, of one kind or of all; zero for a kind that was never booked."""
        if kind is None:
            return _spent(self.totals.sum(axis=0))
        return _spent(self.totals[self.kinds.index(kind)] if kind in self.kinds else np.zeros(4))

    def of(self, client: int, kind: str | None = None) -> Spent:
        """Sum of one client, of one kind or of all; zero for a client that never spent anything."""
        if not 0 <= client < len(self.amounts) or (kind is not None and kind not in self.kinds):
            return _spent(np.zeros(4))
        rows = self.amounts[client]  # (kinds, 4)
        return _spent(rows.sum(axis=0) if kind is None else rows[self.kinds.index(kind)])

    def _column(self, kind: str) -> int:
        if kind not in self.kinds:
            self.kinds = (*self.kinds, kind)
            self.amounts = np.concatenate([self.amounts, np.zeros((len(self.amounts), 1, 4))], axis=1)
            self.totals = np.concatenate([self.totals, np.zeros((1, 4))])
        return self.kinds.index(kind)

    def _grow(self, num_clients: int) -> None:
        # doubling keeps the cost of a booking constant however the clients arrive
        missing = max(num_clients, 2 * len(self.amounts)) - len(self.amounts)
        self.amounts = np.concatenate([self.amounts, np.zeros((missing, len(self.kinds), 4))])


def _spent(amounts: NDArray[np.float64]) -> Spent:
    energy_j, time_s, payload_bytes, framed_bytes = amounts.tolist()
    return Spent(energy_j=energy_j, time_s=time_s, payload_bytes=round(payload_bytes), framed_bytes=round(framed_bytes))
