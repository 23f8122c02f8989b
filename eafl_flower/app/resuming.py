"""What a run of a configuration is made from, and whether that is what a stored run, or a client, has.

A run that goes on with other settings or data would be a run of neither.
"""

import platform
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from eafl_flower.app.workload import Experiment
from eafl_flower.config import RunConfig
from eafl_flower.config.effects import MERGES
from eafl_flower.config.run_config import names_file
from eafl_flower.core.provenance import Content, Plain, Provenance, listed
from eafl_flower.data.content import content_of
from eafl_flower.data.sets.own_rows import ShapedSource
from eafl_flower.data.source import InMemorySource
from eafl_flower.errors import CheckpointError, ConfigError, DataError
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.runs.keeping.take_up import read_origin


@lru_cache(maxsize=2)
def _content(source: InMemorySource | ShapedSource) -> Content:
    return source.content() if isinstance(source, ShapedSource) else content_of(source)


def provenance_of(experiment: Experiment) -> Provenance:
    """Return what a run is made from: settings that count, and the content of files instead of their names.

    Raises
    ------
    ConfigError
        If a file that a setting names cannot be read.
    """
    settings: dict[str, Plain] = dict(experiment.config.decisive())
    for key, value in settings.items():
        if value and names_file(key):
            settings[key] = _digest(key, str(value))
    return Provenance(settings=settings, data=_content(experiment.source))


def _digest(key: str, path: str) -> str:
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        msg = f"{key} = {path!r}: cannot be read ({error.strerror or error})"
        raise ConfigError(msg) from error


def check_same_data(experiment: Experiment, expected: Content) -> None:
    """Raise ``DataError`` unless the data that clients find in this process are ``expected``, those of the server."""
    if changes := expected.changes_to(provenance_of(experiment).data):
        msg = (
            f"the clients on {platform.node()} find other data than the server ({listed(changes)}): give both the same"
        )
        raise DataError(msg)


def check_resumable(run_dir: RunDirectory, experiment: Experiment) -> None:
    """Raise ``CheckpointError`` unless the run in ``run_dir`` was made from what ``experiment`` is made from."""
    path = run_dir.checkpoint_path
    read_origin(path).check_provenance(path, provenance_of(experiment).without(MERGES))


def changes_since(run_dir: RunDirectory, experiment: Experiment) -> str:
    """Return in words how what ``experiment`` is made from differs from what a stored run was made from.

    "" if it does not, and if it has a checkpoint that cannot be read: whoever resumes it is told.
    """
    if not run_dir.finished:
        try:
            return read_origin(run_dir.checkpoint_path).provenance.changes_to(provenance_of(experiment).without(MERGES))
        except CheckpointError:
            return ""
    summary, now = run_dir.summary(), provenance_of(experiment)
    if "data_sha256" not in summary:
        return "by an earlier version, which did not note its data"
    if summary["data_sha256"] != now.data.sha256:
        changes = Content(counts=summary["data"]).changes_to(Content(counts=now.data.counts))
        return f"from other data ({listed(changes) or 'other values'})"
    return "" if summary["config_sha256"] == now.settings_sha256 else "with a file of other content"


def resumed(stored: RunConfig, given: RunConfig) -> RunConfig:
    """Return ``stored``, the configuration of the run to be continued, if the clients have the same one."""
    old, new = stored.settings(), given.settings()
    differing = [
        f"{key} = {new.get(key)!r}, was {old[key]!r}"
        for key in old
        if old[key] != new.get(key) and not key.startswith(("checkpoint.", "results.", "engine."))
    ]
    if differing:
        msg = (
            f"a run goes on with the settings it was started with, but now {'; '.join(differing)}: give `flwr run` the "
            "config.toml of the run directory, with checkpoint.resume set in it"
        )
        raise ConfigError(msg)
    return stored
