"""How texts of a table are written, apart from what they say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eafl_flower.types import Array

_CLOCK = r"\s*(\d{1,2}):\d{2}(?::\d{2})?\s*"


@dataclass(frozen=True, kw_only=True, eq=False)
class SpelledPart:
    """Something that can be read off a column of texts, ``(n,)``, and what is wrong if it tells the class."""

    name: str
    values: Array
    warning: str


def plain_words(column: Array) -> Array:
    """Return texts without surrounding blanks, in small letters, true and false as 1 and 0.

    Examples
    --------
    >>> plain_words(np.array(["high ", "High", "false  "]))
    array(['high', 'high', '0'], dtype='<U4')
    """
    words = pd.Series(column, dtype="str").str.strip().str.lower().replace({"true": "1", "false": "0"})
    return words.to_numpy(dtype=object).astype(str)


def spelled_parts(columns: Mapping[str, Array]) -> Iterator[SpelledPart]:
    """Yield the blanks around texts, and the hour of clock times."""
    for name, column in columns.items():
        if column.dtype.kind == "f":
            continue
        texts = pd.Series(column, dtype="str")
        left = texts.str.len() - texts.str.lstrip().str.len()
        right = texts.str.len() - texts.str.rstrip().str.len()
        blanks = (100 * left + right).to_numpy(dtype=np.int64).astype(str)
        if len(np.unique(blanks)) > 1:
            yield SpelledPart(
                name=f"{name} (blanks)", values=blanks, warning="the blanks around it differ from class to class"
            )
        hour = texts.str.extract(f"^{_CLOCK}$", expand=False)
        if hour.notna().all():
            yield SpelledPart(
                name=f"{name} (hour)",
                values=hour.to_numpy(dtype=object).astype(str),
                warning="each class was recorded at hours of its own",
            )
