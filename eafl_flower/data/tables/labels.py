"""Words of a label column as numbers of a fixed map, the same in every file and on every client."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eafl_flower.data.tables.files import listed
from eafl_flower.data.tables.lines import lines_text
from eafl_flower.data.tables.names import plain_name
from eafl_flower.errors import DataError
from eafl_flower.types import Array


def class_index(
    words: Array, classes: Sequence[str] | Mapping[str, int], *, path: object, column: str
) -> NDArray[np.int64]:
    """Return the number of each word, exactly as the classes are written.

    Parameters
    ----------
    words
        Words of the column in the order of the file's rows, ``(n,)``.
    classes
        Names of the classes in order, or a number for each word where several words mean one class.
    path, column
        Where the words are from, for the message.

    Raises
    ------
    DataError
        If a word is none of ``classes``; names the lines.
    """
    import pandas as pd

    index = _index(classes)
    code, found = pd.factorize(np.asarray(words, dtype=object))
    unknown = [number for number, name in enumerate(found) if str(name) not in index]
    if unknown:
        raise _none_of(index, words, np.flatnonzero(code == unknown[0]), path=path, column=column)
    return np.array([index[str(name)] for name in found], dtype=np.int64)[code]


def class_index_and_notes(
    words: Array, classes: Sequence[str] | Mapping[str, int], *, path: object, column: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the number of each word as ``class_index``, also of those that are written differently, and what to tell.

    Raises
    ------
    DataError
        If a word is none of ``classes``, or could be two; names the lines.
    """
    import pandas as pd

    index = _index(classes)
    plain: dict[str, set[int]] = {}
    for name, number in index.items():
        plain.setdefault(plain_name(name), set()).add(number)
    code, found = pd.factorize(np.asarray(words, dtype=object))
    numbers, taken = [], []
    for place, word in enumerate(map(str, found)):
        meant = {index[word]} if word in index else plain.get(plain_name(word), set())
        if len(meant) != 1:
            raise _none_of(index, words, np.flatnonzero(code == place), path=path, column=column)
        (number,) = meant
        numbers.append(number)
        if word not in index:
            name = next(name for name in index if index[name] == number and plain_name(name) == plain_name(word))
            taken.append(f"{word!r} ({int((code == place).sum()):,}) as {name!r}")
    note = f"column {column}: cells are read as a class that is written differently: {listed(taken, most=6)}"
    return np.array(numbers, dtype=np.int64)[code], (note,) if taken else ()


def _index(classes: Sequence[str] | Mapping[str, int]) -> dict[str, int]:
    return dict(classes) if isinstance(classes, Mapping) else {name: number for number, name in enumerate(classes)}


def _none_of(
    index: Mapping[str, int], words: Array, rows: NDArray[np.int64], *, path: object, column: str
) -> DataError:
    word = repr(str(words[rows[0]])) if str(words[rows[0]]) else "an empty cell"
    names = ", ".join(dict.fromkeys(name for name in index if name))
    return DataError(f"{path}, {lines_text(path, rows)}, column {column}: {word} is none of {names}")
