"""Words of a label column as numbers of a fixed map, the same in every file and on every client."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eafl_flower.data.lines import line_of
from eafl_flower.errors import DataError
from eafl_flower.types import Array


def class_index(
    words: Array, classes: Sequence[str] | Mapping[str, int], *, path: object, column: str
) -> NDArray[np.int64]:
    """Return the number of each word.

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
        If a word is none of ``classes``; names the line of the first one.
    """
    index = dict(classes) if isinstance(classes, Mapping) else {name: number for number, name in enumerate(classes)}
    code, found = pd.factorize(np.asarray(words, dtype=object))
    unknown = [number for number, name in enumerate(found) if str(name) not in index]
    if unknown:
        line = line_of(path, int(np.flatnonzero(code == unknown[0])[0]))
        word = repr(str(found[unknown[0]])) if str(found[unknown[0]]) else "an empty cell"
        names = ", ".join(dict.fromkeys(name for name in index if name))
        msg = f"{path}, line {line}, column {column}: {word} is none of {names}"
        raise DataError(msg)
    return np.array([index[str(name)] for name in found], dtype=np.int64)[code]
