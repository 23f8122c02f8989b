"""The numbers of an event, as every tracker gets them: named by where they stand in the log, at their merge."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from eafl_flower.core.events import Event
from eafl_flower.results.stored import is_finite

# Everything a merge tells in numbers but what numbers it (merge) and whose it is (client, counter, base_version).
_OF_A_MERGE: Final = (
    *("time_s", "wall_s", "staleness", "weight", "scale", "num_examples", "energy_j", "raw_bytes"),
    *("uplink_bytes", "uplink_framed_bytes", "downlink_bytes", "downlink_framed_bytes"),
    *("bits_paper", "codec_error"),
)
_OF_A_STATUS: Final = ("in_flight", "there", "away")
MOST_NAMES: Final = 200  # of metrics, which clients may choose; a tracker keeps a curve for each


class Point(NamedTuple):
    """A number at a merge."""

    step: int
    name: str
    value: float


class Points:
    """Makes points of events; remembers which names there are."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def of(self, event: Event) -> Iterator[Point]:
        """Yield ``merge/FIELD``, ``train/METRIC``, ``evaluate/METRIC`` and ``status/FIELD``, at the event's merge."""
        kind, step = event["event"], event.get("merge", 0)
        if kind == "merge":
            yield from self._numbers(step, "merge", {name: event.get(name) for name in _OF_A_MERGE})
            yield from self._numbers(step, "train", event["metrics"])
        elif kind == "evaluate":
            yield from self._numbers(step, "evaluate", event["metrics"])
        elif kind == "status":
            yield from self._numbers(step, "status", {name: event.get(name) for name in _OF_A_STATUS})

    def _numbers(self, step: int, group: str, values: Event) -> Iterator[Point]:
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
                continue
            full = f"{group}/{_plain(name)}"
            if full in self._names or len(self._names) < MOST_NAMES:
                self._names.add(full)
                yield Point(int(step), full, float(value))


def _plain(name: str) -> str:
    """Return a name of the letters that every tracker takes."""
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "_-. ") else "_" for letter in name[:100]
    )
