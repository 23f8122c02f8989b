"""When two texts are the same: by their letters and digits, however they are spaced, punctuated and capitalised.

Publishers cut words apart in their own ways ("doesn't", "does n't"), so words are compared without what is between
them: texts with equal words in equal order always count as the same.
"""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_NOT_PLAIN = re.compile(r"[^0-9a-z]+")
_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text in small letters, without punctuation.

    Examples
    --------
    >>> words_of("It 's a so-so film .")
    ('it', 's', 'a', 'so', 'so', 'film')
    """
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def letters_of(text: str) -> str:
    """Return the letters and digits of a text in small letters, with the marks that some scripts write vowels with.

    Examples
    --------
    >>> letters_of("It does n't work !") == letters_of("it doesn't work") == "itdoesntwork"
    True
    >>> letters_of(" -- !")
    ''
    """
    if text.isascii():
        return _NOT_PLAIN.sub("", text.lower())
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN")


def same_text(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return a number for each text, ``(n,)``: equal for the same texts, counted by first appearance."""
    return pd.factorize(np.array([letters_of(text) for text in texts], dtype=object))[0].astype(np.int64)
