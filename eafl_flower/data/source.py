"""A data source whose rows are in memory: what every loader returns."""

from dataclasses import dataclass, field

from eafl_flower.data.scaling import Scaler
from eafl_flower.types import Rows


@dataclass(frozen=True, kw_only=True, eq=False)
class InMemorySource:
    """Rows of clients, scaled and split; implements ``protocols.DataSource``.

    ``parts[:num_seen]`` are the clients that train, the rest never do. ``scaler`` is what scaled the features; None
    if they are as the files have them. ``client_names`` are what the data call the clients (a user, a vehicle); none if
    they share the rows.
    """

    name: str
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    num_seen: int
    parts: tuple[Rows, ...] = field(repr=False)
    scaler: Scaler | None = field(default=None, repr=False)
    client_names: tuple[str, ...] = field(default=(), repr=False)

    @property
    def num_clients(self) -> int:
        """Number of clients, the unseen ones included."""
        return len(self.parts)

    def partition(self, index: int) -> Rows:
        """Rows of one client; an unseen client's training rows are its first quarter."""
        if not 0 <= index < len(self.parts):
            msg = f"client {index} of {self.name}: expected 0 to {len(self.parts) - 1}"
            raise IndexError(msg)
        return self.parts[index]
