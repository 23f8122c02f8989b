"""A data source whose rows are in memory: what every loader returns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from eafl_flower.data.scaling import Scaler, scaled_rows
from eafl_flower.data.splits import Part
from eafl_flower.data.tables.columns import TableColumn
from eafl_flower.types import Rows


@dataclass(frozen=True, kw_only=True, eq=False)
class InMemorySource:
    """Rows of clients, scaled and split; implements ``protocols.DataSource``.

    ``parts[:num_seen]`` are the clients that train, the rest never do. ``scaler`` is what scaled the features; None
    if they are as the files have them. ``client_names`` are what the data call the clients (a user, a vehicle); none if
    they share the rows. ``columns`` are those of a file of one's own behind the features; none of other data.
    ``notes`` tell, a sentence each, what of the data was left out, cut or understood; ``clients_left_out`` and
    ``rows_left_out`` count it.
    """

    name: str
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    num_seen: int
    parts: tuple[Rows, ...] = field(repr=False)
    scaler: Scaler | None = field(default=None, repr=False)
    client_names: tuple[str, ...] = field(default=(), repr=False)
    columns: tuple[TableColumn, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)
    clients_left_out: int = 0
    rows_left_out: int = 0

    @classmethod
    def scaled(
        cls,
        parts: Sequence[Part],
        *,
        name: str,
        class_names: tuple[str, ...],
        feature_names: tuple[str, ...],
        num_seen: int,
        client_names: tuple[str, ...] = (),
        columns: tuple[TableColumn, ...] = (),
        notes: tuple[str, ...] = (),
        clients_left_out: int = 0,
        rows_left_out: int = 0,
    ) -> Self:
        """Return the source of ``parts``, scaled by the training rows of those that train."""
        rows, scaler = scaled_rows(parts, num_seen)
        return cls(
            name=name,
            class_names=class_names,
            feature_names=feature_names,
            num_seen=num_seen,
            parts=rows,
            scaler=scaler,
            client_names=client_names,
            columns=columns,
            notes=notes,
            clients_left_out=clients_left_out,
            rows_left_out=rows_left_out,
        )

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
