"""Tables that are known by their header."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class KnownTable:
    """A table we know by its header: its label, its client column, and how its rows are held out.

    ``split`` is "content" (equal rows stay together), "runs" (the last quarter of each run of equal labels), "time"
    (the last quarter of each client's rows) or "trips" (a quarter of the segments). ``no_features`` tell how the file
    was made, not what the label is of.
    """

    name: str
    columns: frozenset[str]
    label: str
    client: str = ""
    time: str = ""
    split: str = "content"
    no_features: tuple[str, ...] = ()


KNOWN = (
    KnownTable(name="unsw-nb15", columns=frozenset({"proto", "service", "sttl", "attack_cat"}), label="attack_cat"),
    KnownTable(
        name="ton-iot",
        columns=frozenset({"date", "time", "label", "type"}),
        label="type",
        split="runs",
        no_features=("date", "time", "label"),
    ),
    KnownTable(name="iot-devices", columns=frozenset({"device_category", "ack", "bytes"}), label="device_category"),
    KnownTable(
        name="geolife",
        columns=frozenset({"user", "segment", "latitude", "date_time", "label"}),
        label="label",
        client="user",
        split="trips",
        no_features=("user", "date_time", "segment", "trajectory"),
    ),
)
