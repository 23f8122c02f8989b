"""Settings that change no result of a run, and those that may change when it goes on."""

from collections.abc import Mapping
from typing import Final, TypeVar

T = TypeVar("T")

WITHOUT_EFFECT: Final = (
    "name",
    "data.dir",  # where data lie: what they hold counts
    "data.csv.file",
    "radio.measured",  # by what deployments price transfers, whose times no setting decides
    "job.reply-timeout-s",  # when a run gives up
    "job.error-budget",
    "checkpoint",
    "results",
    "engine",
)
"""Keys and groups of keys that say where and how safely a run is made, not what comes out."""

MERGES: Final = "strategy.merges"
"""A run that goes on may make more merges than it was started with."""


def decisive(flat: Mapping[str, T]) -> dict[str, T]:
    """Return those settings that change what comes out."""
    return {
        key: value
        for key, value in flat.items()
        if key not in WITHOUT_EFFECT and key.partition(".")[0] not in WITHOUT_EFFECT
    }
