"""The directory a run leaves behind.

::

    runs/emam-20261121T121500Z/
    ├── config.toml         the resolved configuration: with it the run can be repeated
    ├── events.jsonl        one line an event (see ``observer``)
    ├── summary.json        what came out; its presence says that the run ended
    ├── model.safetensors   the final arrays
    ├── model.json          what the model expects and gives (see ``model_description``)
    ├── checkpoint/         the server's checkpoints
    ├── state/              what the clients keep between jobs
    ├── tensorboard/, ...   curves, if a sink of this name was chosen
    └── owner               locked by the process that works on the run
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eafl_flower.config.effects import decisive
from eafl_flower.config.files import parse_toml
from eafl_flower.config.foreign import unfolded
from eafl_flower.core.durable import write_atomically
from eafl_flower.errors import CheckpointError
from eafl_flower.results.event_fields import check_event
from eafl_flower.results.event_log import EventLog, read_events
from eafl_flower.results.folders import make_results_folder, not_writable
from eafl_flower.results.model_file import read_arrays, read_metadata, write_arrays
from eafl_flower.results.stored import check_settings, parse_json, read_file
from eafl_flower.results.summary import check_summary

if TYPE_CHECKING:
    from eafl_flower.results.model_description import ModelDescription
    from eafl_flower.types import Array

_OURS = "# the resolved configuration of a run of eafl-flower"


class RunDirectory:
    """Paths and files of one run; made by ``create``, ``create_at`` or ``open``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, root: Path | str, name: str) -> "RunDirectory":
        """Make ``root/<name>-<UTC time>/``; a number is appended if it exists already.

        Raises
        ------
        ConfigError
            If nothing can be written to ``root``.
        """
        clean = re.sub(r"[^A-Za-z0-9._=,+-]+", "-", name).strip("-.") or "run"
        stem = f"{clean}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        make_results_folder(root)
        number = 1
        while True:
            path = Path(root) / (stem if number == 1 else f"{stem}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
            except OSError as error:
                raise not_writable(root, error) from error
            else:
                return cls(path)

    @classmethod
    def create_at(cls, path: Path | str) -> "RunDirectory":
        """Make exactly ``path``; raises ``CheckpointError`` if something is in it already."""
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            msg = f"{path} is not empty: expected a new directory for this run"
            raise CheckpointError(msg)
        make_results_folder(path)
        return cls(path)

    @classmethod
    def open(cls, path: Path | str, *, events: bool = True) -> "RunDirectory":
        """Return the directory of an earlier run; without ``events`` a copy that lacks the event log will do.

        Raises
        ------
        CheckpointError
            If ``path`` is no directory that a run of ours has left, or lacks a part.
        """
        path = Path(path)
        if not path.is_dir():
            msg = f"{path} is not a directory: expected one that a run has left (with config.toml and events.jsonl)"
            raise CheckpointError(msg)
        try:
            config = read_file(path / "config.toml")
        except OSError:
            config = b""
        if not config.startswith(_OURS.encode()):
            msg = f"{path} was not left by a run of eafl-flower: no config.toml that one of them has written"
            raise CheckpointError(msg)
        if events and not (path / "events.jsonl").is_file():
            msg = f"{path} is damaged: events.jsonl is missing; bring it back, or {cls(path).way_again}"
            raise CheckpointError(msg)
        return cls(path)

    @property
    def run_name(self) -> str:
        """The run's name for its nodes: its directory's, of which it has the letters a folder may have anywhere."""
        name = re.sub(r"[^A-Za-z0-9._=,+-]+", "-", self.path.resolve().name)
        return name.lstrip("._=,+-")[:128] or "run"

    @property
    def config_path(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.toml"

    @property
    def events_path(self) -> Path:
        """The event log."""
        return self.path / "events.jsonl"

    @property
    def summary_path(self) -> Path:
        """The summary, present when the run has ended."""
        return self.path / "summary.json"

    @property
    def model_path(self) -> Path:
        """The final arrays."""
        return self.path / "model.safetensors"

    @property
    def description_path(self) -> Path:
        """What the model expects and gives."""
        return self.path / "model.json"

    @property
    def checkpoint_dir(self) -> Path:
        """Where the server's checkpoints go; not made before it is needed."""
        return self.path / "checkpoint"

    @property
    def checkpoint_path(self) -> Path:
        """The server's newest checkpoint."""
        return self.checkpoint_dir / "server.safetensors"

    @property
    def state_dir(self) -> Path:
        """Where clients keep their state between jobs; not made before it is needed."""
        return self.path / "state"

    @cached_property
    def log(self) -> EventLog:
        """The writer of the event log, an observer."""
        return EventLog(self.events_path)

    @property
    def finished(self) -> bool:
        """True once the run has written its summary."""
        return self.summary_path.is_file()

    @property
    def has_checkpoint(self) -> bool:
        """True if there is a checkpoint to resume from; one that was being written when all ended is none."""
        return self.checkpoint_path.is_file()

    @property
    def way_on(self) -> str:
        """How to get the results of a run that has not ended, in words."""
        if self.has_checkpoint:
            return f"resume it with: eafl run --resume {shlex.quote(str(self.path))}"
        return f"it left no checkpoint to go on from; {self.way_again}"

    @property
    def way_again(self) -> str:
        """How to repeat the run from its start, in words."""
        return f"start it again with: eafl run {shlex.quote(str(self.config_path))}"

    def check_has_checkpoint(self) -> None:
        """Raise ``CheckpointError`` unless there is a checkpoint to resume from."""
        if not self.has_checkpoint:
            msg = f"{self.path} has no checkpoint to resume from, a run makes its first one after a minute"
            raise CheckpointError(f"{msg}; {self.way_again}")

    def write_config(self, toml: str) -> None:
        """Write the resolved configuration and start an empty event log."""
        write_atomically(self.config_path, f"{_OURS}\n{toml}".encode())
        self.events_path.touch()

    def remove_leftovers(self) -> None:
        """Remove what a killed process was writing: files of which none is whole, under names that nobody reads."""
        written = (self.config_path, self.summary_path, self.model_path, self.description_path)
        for path in (left for file in written for left in self.path.glob(f".{file.name}.*")):
            path.unlink()

    def remove_if_unused(self) -> bool:
        """Remove the directory of a run that failed before its first event; return whether it is gone."""
        left = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        untouched = left <= {"config.toml", "events.jsonl", "owner"} and "config.toml" in left
        if not untouched or (self.events_path.is_file() and self.events_path.stat().st_size):
            return False
        for name in left:
            (self.path / name).unlink()
        self.path.rmdir()
        return True

    def settings(self) -> dict[str, Any]:
        """Return the resolved configuration, flat with dots, also one of another version of this package.

        Raises
        ------
        CheckpointError
            If ``config.toml`` is damaged.
        """
        try:
            settings = unfolded(parse_toml(read_file(self.config_path)))
            check_settings(settings)
        except (OSError, ValueError) as error:
            msg = f"{self.config_path} is damaged: {error}"
            raise CheckpointError(msg) from error
        return settings

    def check_config(self, config_sha256: str) -> None:
        """Raise ``CheckpointError`` unless ``config.toml`` still has the decisive settings with this digest.

        With a file, such as a codebook, nobody knows: the digest is of its content, which need not be here.
        """
        from eafl_flower.config.run_config import names_file  # here, because `eafl --help` does not need it
        from eafl_flower.core.provenance import Provenance

        settings = decisive(self.settings())
        has_files = any(value and names_file(key) for key, value in settings.items())
        if not has_files and Provenance(settings=settings).settings_sha256 != config_sha256:
            msg = f"{self.config_path} was changed after its run: it has other settings than the run was made with"
            raise CheckpointError(msg)

    def events(self) -> list[dict[str, Any]]:
        """Return the events so far; raises ``CheckpointError`` if the log is damaged."""
        return list(self.each_event())

    def each_event(self) -> Iterator[dict[str, Any]]:
        """Yield the events one by one, for there may be millions; raises as ``events``."""
        for number, event in enumerate(read_events(self.events_path), start=1):
            try:
                check_event(event)
            except ValueError as error:
                msg = f"{self.events_path} is damaged at line {number}: {error}"
                raise CheckpointError(msg) from error
            yield event

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json``."""
        write_atomically(self.summary_path, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())

    def summary(self) -> dict[str, Any]:
        """Return ``summary.json``; raises ``CheckpointError`` if the run has not ended or the file is damaged."""
        if not self.finished:
            msg = f"{self.path} has no summary.json: the run did not end; {self.way_on}"
            raise CheckpointError(msg)
        try:
            summary = parse_json(read_file(self.summary_path))
            if not isinstance(summary, dict):
                msg = "expected a JSON object"
                raise ValueError(msg)
            check_summary(summary)
        except (OSError, ValueError) as error:
            msg = f"{self.summary_path} is damaged: {error}"
            raise CheckpointError(msg) from error
        return summary

    def write_model(self, arrays: "Mapping[str, Array]", metadata: Mapping[str, str] | None = None) -> None:
        """Write ``model.safetensors``: arrays by key, and text about them."""
        write_arrays(self.model_path, arrays, metadata or {})

    def model_metadata(self) -> dict[str, str]:
        """Return the text about the final arrays; raises ``CheckpointError`` if they are missing or damaged."""
        return read_metadata(self.model_path)

    def model(self) -> "dict[str, Array]":
        """Return the final arrays; raises ``CheckpointError`` if they are missing or damaged."""
        return read_arrays(self.model_path)

    def write_description(self, description: "ModelDescription") -> None:
        """Write ``model.json``."""
        write_atomically(self.description_path, description.to_json().encode())

    def description(self) -> "ModelDescription":
        """Return what the model expects and gives.

        Raises
        ------
        CheckpointError
            If the run has not ended, or the file is missing, damaged or of another version.
        """
        from eafl_flower.results.model_description import ModelDescription

        try:
            return ModelDescription.from_json(read_file(self.description_path))
        except FileNotFoundError as error:
            reason = (
                "the run was made by an earlier version of eafl-flower"
                if self.finished
                else f"the run did not end; {self.way_on}"
            )
            msg = f"{self.path} has no {self.description_path.name}: {reason}"
            raise CheckpointError(msg) from error
        except (OSError, ValueError) as error:
            msg = f"{self.description_path} cannot be used: {error}"
            raise CheckpointError(msg) from error
