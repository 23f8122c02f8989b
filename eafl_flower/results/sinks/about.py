"""What a tracker is told of a run before its first event."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eafl_flower.core.settings import Value


@dataclass(frozen=True, kw_only=True)
class About:
    """Name, directory and settings of a run."""

    name: str
    folder: Path
    settings: Mapping[str, Value]
