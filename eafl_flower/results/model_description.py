"""What the model of a run expects and gives: ``model.json``, beside the arrays.

With it and the run's ``config.toml`` a vehicle can use the model without the data it was trained on: the features
in order, the constants that scale them, the classes, and which state of each client belongs to the final arrays; of a
file of one's own the columns behind the features; for a head that is yet to be fitted, the bins of the entropies that
decide its size; where the model reads features in bins, the quantiles that these are made from.
The states themselves, with the private heads in them, stay where the clients keep them.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.row_summary import quantile_table
from eafl_flower.data.scaling import Scaler
from eafl_flower.data.tables.columns import TableColumn
from eafl_flower.data.tables.files import listed
from eafl_flower.data.tables.names import plain_name
from eafl_flower.errors import ConfigError
from eafl_flower.heads.prior import FeatureRanges
from eafl_flower.results import stored as checks
from eafl_flower.results.stored import check_fields

FORMAT = "eafl-flower model 1"
_NUMBERS, _TEXTS = "numbers", "texts"
_FIELDS = {
    **dict.fromkeys(("run", "data"), checks.text),
    **dict.fromkeys(("features", "classes", "client_names"), checks.texts),
    "clients_that_train": checks.count,
    "client_states": checks.counts,
    "scaler": checks.optional(
        checks.record({**dict.fromkeys(("mean", "scale"), checks.numbers), "limit": checks.number})
    ),
}
_COLUMN = checks.record({"name": checks.text, "kind": checks.text}, {"words": checks.texts})
_LATER_FIELDS = {
    "ranges": checks.optional(checks.record(dict.fromkeys(("low", "high"), checks.numbers))),
    "columns": checks.list_of(_COLUMN),
    "quantiles": checks.list_of(checks.numbers),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelDescription:
    """Inputs and outputs of a trained model, and where its private heads are.

    Parameters
    ----------
    run
        Name of the run as the clients know it: their folder of states is called so.
    data
        Name of the data set.
    feature_names, scaler
        The columns the model sees, in order, and what scales them; None if nothing does.
    class_names
        Names of the classes, in the order of the model's outputs.
    num_seen
        How many of the clients train.
    client_states
        For each client the counter of the state that goes with the final arrays; 0: it never trained.
    client_names
        What the data call the clients; none where they have no names.
    ranges
        Of the scaled features, the bins of the entropies by which heads are sized; None where they are not.
    columns
        Columns of a file of one's own behind the features; none of other data.
    quantiles
        Of the scaled features, a table ``(33, d)`` that their bins are made from; None where there are no bins.
    """

    run: str
    data: str
    feature_names: tuple[str, ...]
    scaler: Scaler | None
    class_names: tuple[str, ...]
    num_seen: int
    client_states: tuple[int, ...]
    client_names: tuple[str, ...] = ()
    ranges: FeatureRanges | None = None
    columns: tuple[TableColumn, ...] = ()
    quantiles: NDArray[np.float64] | None = None

    def client_called(self, name: str) -> int:
        """Return the number of the client that the data call ``name``, or, if there is none, write so differently.

        Raises
        ------
        ConfigError
            If there is no such client, or more than one.
        """
        if not self.client_names:
            msg = f"client {name}: the clients of {self.data} have numbers but no names; give the number by --client"
            raise ConfigError(msg)
        found = [number for number, called in enumerate(self.client_names) if called == name] or [
            number for number, called in enumerate(self.client_names) if plain_name(called) == plain_name(name)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            numbers = ", ".join(map(str, found))
            msg = f"{len(found)} clients are called {name}: the numbers {numbers}; give one by --client"
        else:
            msg = f"no client of the run is called {name}: expected one of {listed(self.client_names)}"
        raise ConfigError(msg)

    def to_json(self) -> str:
        """Return the description as JSON, numbers exactly."""
        s, r = self.scaler, self.ranges
        values: dict[str, Any] = {
            "format": FORMAT,
            "run": self.run,
            "data": self.data,
            "features": self.feature_names,
            "scaler": s and {"mean": s.mean.tolist(), "scale": s.scale.tolist(), "limit": s.limit},
            "classes": self.class_names,
            "clients_that_train": self.num_seen,
            "client_states": self.client_states,
            "client_names": self.client_names,
            "ranges": r and {"low": r.low.tolist(), "high": r.high.tolist()},
            "columns": [
                {"name": c.name, "kind": _NUMBERS, "unit": c.unit}
                if c.words is None
                else {"name": c.name, "kind": _TEXTS, "words": c.words}
                for c in self.columns
            ],
        }
        if self.quantiles is not None:
            values["quantiles"] = self.quantiles.tolist()
        lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in values.items()]
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelDescription":
        """Read what ``to_json`` wrote.

        Raises
        ------
        ValueError
            If it is something else; the message says what, without the place.
        """
        stored: dict[str, Any] = checks.parse_json(text)
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            found = stored.get("format") if isinstance(stored, dict) else None
            msg = f"it has the format {found!r}, this version of eafl-flower reads {FORMAT!r}"
            raise ValueError(msg)
        check_fields(stored, _FIELDS, _LATER_FIELDS)
        try:
            scaler = stored["scaler"] and Scaler(
                mean=np.array(stored["scaler"]["mean"], np.float64),
                scale=np.array(stored["scaler"]["scale"], np.float64),
                limit=float(stored["scaler"]["limit"]),
            )
            ranges = stored.get("ranges") and FeatureRanges(  # an earlier version left them out
                low=np.array(stored["ranges"]["low"], np.float64), high=np.array(stored["ranges"]["high"], np.float64)
            )
            described = cls(
                run=str(stored["run"]),
                data=str(stored["data"]),
                feature_names=tuple(stored["features"]),
                scaler=scaler,
                class_names=tuple(stored["classes"]),
                num_seen=int(stored["clients_that_train"]),
                client_states=tuple(stored["client_states"]),
                client_names=tuple(stored["client_names"]),
                ranges=ranges or None,
                columns=tuple(
                    TableColumn(
                        name=str(c["name"]),
                        words=None if c["kind"] == _NUMBERS else tuple(c["words"]),
                        unit=str(c.get("unit", "")),
                    )
                    for c in stored.get("columns", ())
                ),
                quantiles=_quantiles(stored),
            )
        except (AttributeError, KeyError, OverflowError, TypeError) as error:
            msg = f"it is damaged: {error!r}"
            raise ValueError(msg) from error
        expected = (len(described.feature_names),)
        if scaler and (scaler.mean.shape, scaler.scale.shape) != (expected, expected):
            msg = f"it is damaged: {expected[0]} features, but {scaler.mean.size} means and {scaler.scale.size} scales"
            raise ValueError(msg)
        if ranges and (ranges.low.shape, ranges.high.shape) != (expected, expected):
            msg = f"it is damaged: {expected[0]} features, but {ranges.low.size} and {ranges.high.size} ends of ranges"
            raise ValueError(msg)
        clients, names = len(described.client_states), len(described.client_names)
        if described.num_seen > clients or names not in (0, clients):
            msg = f"it is damaged: {clients} clients, but {described.num_seen} that train and {names} names"
            raise ValueError(msg)
        if described.data == "csv" and "columns" not in stored:
            msg = "it was written by an earlier version, without the columns of the file; repeat the run"
            raise ValueError(msg)
        if described.columns and (found := sum(len(c.feature_names) for c in described.columns)) != expected[0]:
            msg = f"it is damaged: {expected[0]} features, but its columns give {found}"
            raise ValueError(msg)
        return described


def _quantiles(stored: dict[str, Any]) -> NDArray[np.float64] | None:
    if "quantiles" not in stored:
        return None
    try:
        return quantile_table(stored["quantiles"], len(stored["features"]))
    except ValueError as error:
        msg = f"it is damaged: {error}"
        raise ValueError(msg) from error
