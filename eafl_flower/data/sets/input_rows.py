"""Rows to be classified: a file with the model's features, or a recording as the data set's publisher has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.sets.recordings import RECORDINGS, Recording, own_table
from eafl_flower.data.tables.columns import TableColumn
from eafl_flower.data.tables.files import listed, read_columns, read_header
from eafl_flower.data.tables.labels import class_index_and_notes
from eafl_flower.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class InputRows:
    """Rows to be classified.

    Parameters
    ----------
    x
        Features before scaling, ``(n, d)``.
    numbers
        Number of the file's row each is of, ``(n,)``; the first one below the header is 1.
    labels
        Index of the true class of each, ``(n,)``, -1 for one that the data set leaves out; None if it is not known.
    notes
        What of the file was left out or understood, a sentence each.
    """

    x: NDArray[np.float64]
    numbers: NDArray[np.int64]
    labels: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()


def read_input_rows(
    path: Path,
    *,
    data: str,
    feature_names: Sequence[str],
    class_names: Sequence[str],
    columns: Sequence[TableColumn] = (),
    label: str = "",
) -> InputRows:
    """Read the rows of a CSV file, plain or gzip.

    Parameters
    ----------
    path
        The file: a table that has ``feature_names`` among its columns, or a recording of the data set.
    data
        Name of the data set.
    feature_names, class_names
        What the model expects and gives.
    columns
        Columns of a file of one's own behind the features; none of other data.
    label
        Column with the name of the true class; empty if there is none.

    Raises
    ------
    DataError
        As ``files.read_columns``; if the columns are neither the features nor those of a recording; if a label is no
        class of the model; if there is nothing to classify.
    """
    header = read_header(path)
    words: Sequence[str] | Mapping[str, int] = class_names
    notes: tuple[str, ...] = ()
    recording = own_table(columns) if columns else RECORDINGS.get(data)
    if set(feature_names) <= set(header) and not (recording and recording.alone):
        table = read_columns(path, numeric=feature_names)
        x, rows = table.to_numpy(dtype=np.float64), np.arange(len(table))
    elif recording and recording.is_one(header, feature_names):
        found = recording.read(path, tuple(feature_names))
        x, rows, notes = found.x, found.rows, found.notes
        words = recording.words or words
    else:
        raise DataError(_missing(path, header, feature_names, recording))
    labels = None
    if label:
        texts = read_columns(path, text=[label])[label].to_numpy(dtype=object)
        every_label, more = class_index_and_notes(texts, words, path=path, column=label)
        labels, notes = every_label[rows], (*notes, *more)
    return InputRows(x=x, numbers=rows + 1, labels=labels, notes=notes)


def _missing(path: Path, header: Sequence[str], feature_names: Sequence[str], recording: Recording | None) -> str:
    kinds = [*(recording.columns(feature_names) if recording else ())]
    if not (recording and recording.alone):
        kinds.append(feature_names)
    nearest = min(kinds, key=lambda columns: len(set(columns) - set(header)))
    missing = [name for name in nearest if name not in header]
    expected = "; or ".join(listed(columns) for columns in kinds)
    return f"{path} has no column {listed(missing, most=6)}: expected {expected}"
