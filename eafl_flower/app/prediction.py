"""A finished run's model in use on one vehicle: the shared arrays with that client's own head.

What it needs is the run's ``config.toml``, ``model.safetensors`` and ``model.json``, and the client's states, which
in a simulation lie in the run directory and in a deployment on the client's node alone. No training data.
"""

import csv
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from eafl_flower.app.workload import Experiment
from eafl_flower.clients.durable_state import state_path, stored_state
from eafl_flower.clients.numpy_client import head_of
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
from eafl_flower.core.words import cell
from eafl_flower.data.extremes import cut_note
from eafl_flower.data.sets.input_rows import InputRows, read_input_rows
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.tables.files import read_header
from eafl_flower.errors import CheckpointError, ConfigError, DataError
from eafl_flower.heads.newcomer import has_fleets_head, newcomer
from eafl_flower.heads.prior import FeatureRanges
from eafl_flower.protocols import Task
from eafl_flower.results.model_description import ModelDescription
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.tasks.checks import check_layout
from eafl_flower.tasks.training import Quantiles
from eafl_flower.types import Array, Arrays, Rows


def read_rows(file: Path, description: ModelDescription, *, label: str = "", may_lack_label: bool = False) -> InputRows:
    """Read the rows of a file, or of standard input if it is called ``-``.

    Parameters
    ----------
    file
        CSV, plain or gzip; see ``read_input_rows``.
    description
        What the model expects and gives.
    label
        Column with the true class; empty if there is none.
    may_lack_label
        Read a file without that column, too.

    Raises
    ------
    DataError
        As ``read_input_rows``.
    """
    if str(file) != "-":
        has_label = not may_lack_label or label in read_header(file)
        return read_input_rows(
            file,
            data=description.data,
            feature_names=description.feature_names,
            class_names=description.class_names,
            columns=description.columns,
            label=label if has_label else "",
        )
    content = sys.stdin.buffer.read()
    with tempfile.TemporaryDirectory() as folder:  # files are read twice, the header first
        copy = Path(folder, "input.csv")
        copy.write_bytes(content)
        try:
            return read_rows(copy, description, label=label, may_lack_label=may_lack_label)
        except DataError as error:
            raise DataError(str(error).replace(str(copy), "standard input")) from error


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A model that is complete for one client; ``told`` is what to tell of how it came about, if anything."""

    task: Task
    model: Arrays
    description: ModelDescription
    told: str = ""

    def probabilities(self, rows: InputRows) -> NDArray[np.float64]:
        """Return the class probabilities of rows, ``(n, classes)``."""
        return self.task.predict(self.model, _scaled(self.description, rows.x))


def reading_notes(file: Path, rows: InputRows, description: ModelDescription) -> tuple[str, ...]:
    """Return what to tell about the rows of a file: what was left out, understood or, of a file of one's own, cut."""
    if not description.columns or description.scaler is None:
        return rows.notes
    numbers = [column.words is None for column in description.columns for _ in column.feature_names]
    every = np.arange(len(rows.x))
    return (
        *rows.notes,
        *cut_note(file, description.feature_names, rows.x, description.scaler, rows=every, numbers=numbers),
    )


def predictor_of(
    run_dir: RunDirectory, client: int, *, state_dir: Path | None = None, examples: InputRows | None = None
) -> Predictor:
    """Return the model of a finished run as ``client`` uses it.

    Parameters
    ----------
    run_dir
        The run's directory or a copy of it; ``config.toml``, ``model.safetensors`` and ``model.json`` are enough.
    client
        Number of the client.
    state_dir
        Where the client keeps its states; by default in the run directory, as simulations do, or where
        ``checkpoint.state-dir`` says.
    examples
        Labelled rows to which a fresh head is fitted on the frozen backbone, or the fleet's head adapted where there
        is one, as a run does it for the clients that never train; the client's stored head is then not looked at.

    Raises
    ------
    CheckpointError
        If the run has no model, a file is damaged or of another run, ``config.toml`` was changed, the client's head is
        not there, or nothing says by what ranges of the features a fresh one is sized or what their bins are.
    ConfigError
        If the run has no such client.
    ProtocolError
        If the model is not one of the run's task.
    """
    description = run_dir.description()
    clients = len(description.client_states)
    if not 0 <= client < clients:
        msg = f"client {client}: the run has the clients 0 to {clients - 1}"
        raise ConfigError(msg)
    # The clients' device need not be here; what they computed can be used anywhere.
    config = RunConfig.from_toml(run_dir.config_path).replace({"task.device": "cpu"})
    _check_belongs_together(run_dir, description)
    task = Experiment(config).task_of(
        _without_rows(description),
        ranges=lambda: _ranges(run_dir, description),
        quantiles=lambda: _quantiles(run_dir, description),
    )
    initial = task.init(generator(config.seed, "init"))
    shared = _shared(run_dir, initial[: task.num_shared])
    told = ""
    if examples is not None:
        rows = _examples(description, examples)
        steps = config.task.unseen_steps
        found = newcomer(task, shared, initial, rows, seed=config.seed, client=client, steps=steps)
        model, told = found.model, f"client {client} {found.told}" if found.told else ""
    elif task.num_shared == len(initial):
        model = shared
    elif has_fleets_head(task) and not description.client_states[client]:
        model = shared
        told = f"client {client} never trained and goes by the fleet's head; --fit FILE adapts it to labelled rows"
    else:
        head = _head(description, client, state_dir or _state_dir(run_dir, config))
        task.check_head(head)
        model = shared + head
    return Predictor(task=task, model=model, description=description, told=told)


def write_predictions(
    file: IO[str], numbers: NDArray[np.int64], probabilities: NDArray[np.float64], class_names: Sequence[str]
) -> None:
    """Write a CSV table: number of the input row, likeliest class, probability of each class."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow(["row", "class", *(cell(f"p_{name}") for name in class_names)])
    for number, p, best in zip(numbers.tolist(), probabilities.tolist(), probabilities.argmax(axis=1), strict=True):
        table.writerow([number, cell(class_names[best]), *(f"{value:.6g}" for value in p)])


def _check_belongs_together(run_dir: RunDirectory, description: ModelDescription) -> None:
    """Raise ``CheckpointError`` unless arrays, description and configuration are of one run, as far as they say."""
    about = run_dir.model_metadata()
    if "config_sha256" not in about:  # of an earlier version
        return
    if (run := about.get("run")) != description.run:
        msg = (
            f"{run_dir.model_path} is of run {run!r}, but {run_dir.description_path.name} of "
            f"{description.run!r}: copy both from one run"
        )
        raise CheckpointError(msg)
    run_dir.check_config(about["config_sha256"])


def _without_rows(description: ModelDescription) -> InMemorySource:
    """Return what a task is built for: features and classes, without anybody's rows."""
    return InMemorySource(
        name=description.data,
        class_names=description.class_names,
        feature_names=description.feature_names,
        num_seen=0,
        parts=(),
    )


def _ranges(run_dir: RunDirectory, description: ModelDescription) -> FeatureRanges:
    if description.ranges is None:
        msg = (
            f"{run_dir.description_path} was written by an earlier version, without the ranges of the features by "
            "which heads are sized: --fit would give another head than the run did; repeat the run to have them"
        )
        raise CheckpointError(msg)
    return description.ranges


def _quantiles(run_dir: RunDirectory, description: ModelDescription) -> Quantiles:
    if description.quantiles is None:
        msg = (
            f"{run_dir.description_path} lacks the quantiles of the features, from which the bins are made that the "
            "model reads: it is not as the run has left it; copy it again, or repeat the run"
        )
        raise CheckpointError(msg)
    return description.quantiles


def _shared(run_dir: RunDirectory, like: Arrays) -> Arrays:
    stored = run_dir.model()
    arrays = [stored[key] for key in sorted(stored, key=lambda key: (len(key), key))]  # "2" before "10"
    found = check_layout(arrays, like, f"{run_dir.model_path} holds")
    _check_finite(found, run_dir.model_path)
    return found


def _state_dir(run_dir: RunDirectory, config: RunConfig) -> Path:
    elsewhere = config.checkpoint.state_dir
    return run_dir.state_dir if run_dir.state_dir.is_dir() or not elsewhere else Path(elsewhere)


def _head(description: ModelDescription, client: int, folder: Path) -> Arrays:
    counter = description.client_states[client]
    if not counter:
        why = "" if client < description.num_seen else f": only the clients 0 to {description.num_seen - 1} train"
        msg = f"client {client} has no head of its own, it never trained{why}; --fit FILE fits one to labelled rows"
        raise CheckpointError(msg)
    records = stored_state(folder, description.run, client, counter)
    head = None if records is None else head_of(records)
    if head is None:
        path = state_path(folder, description.run, client, counter)
        if path.is_file():
            msg = f"{path} is damaged: the head of client {client} cannot be read from it"
        else:
            msg = (
                f"no head of client {client}: there is no {path}; heads never leave their client, so run this where "
                "it keeps its states and name that folder by --state-dir (without a state-dir it kept them in memory)"
            )
        raise CheckpointError(msg)
    _check_finite(head, state_path(folder, description.run, client, counter))
    return head


def _check_finite(arrays: Arrays, path: Path) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        msg = f"{path} is damaged: it holds values that are not finite numbers"
        raise CheckpointError(msg)


def _examples(description: ModelDescription, examples: InputRows) -> Rows:
    assert examples.labels is not None
    known = examples.labels >= 0
    x, y = _scaled(description, examples.x[known]), examples.labels[known]
    return Rows(x_train=x, y_train=y, x_test=x[:0], y_test=y[:0])


def _scaled(description: ModelDescription, x: Array) -> NDArray[np.float32]:
    if x.shape[1:] != (len(description.feature_names),):
        msg = f"rows of shape {x.shape}: expected {len(description.feature_names)} features"
        raise DataError(msg)
    return x.astype(np.float32) if description.scaler is None else description.scaler.apply(x)
