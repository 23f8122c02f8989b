"""Rows for an encoder: its inputs by name, and a label each; texts are padded as far as their batch needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.excerpt import excerpt
from eafl_flower.errors import DataError
from eafl_flower.types import Array

_TEXT: Final = "input_ids"
_IMAGE: Final = "pixel_values"
_LABELS: Final = ("labels", "label")


@dataclass(frozen=True, kw_only=True, eq=False)
class TuningRows:
    """Rows of one client for one task.

    Parameters
    ----------
    inputs
        The encoder's inputs by name, each ``(n, ...)``.
    labels
        ``(n,)``, from 0.
    lengths
        Of texts the number of tokens, ``(n,)``: the second axis of inputs is cut to the longest of a batch, and the
        encoder gets an ``attention_mask``. None: all of it counts.

    Raises
    ------
    DataError
        If shapes do not go together, or lengths are out of range.
    """

    inputs: Mapping[str, Array]
    labels: NDArray[np.int64]
    lengths: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        count = len(self.labels)
        if not self.inputs or self.labels.ndim != 1 or self.labels.dtype.kind not in "iu":
            msg = (
                f"inputs {sorted(self.inputs)} with labels {self.labels.dtype} {self.labels.shape}: expected inputs by "
            )
            raise DataError(msg + "name, and integers (n,)")
        if wrong := [name for name, values in self.inputs.items() if values.ndim < 1 or len(values) != count]:
            raise DataError(
                f"input {wrong[0]} has shape {self.inputs[wrong[0]].shape}: expected {count} rows as of labels"
            )
        if (lengths := self.lengths) is None:
            return
        width = min(values.shape[1] if values.ndim > 1 else 0 for values in self.inputs.values())
        if lengths.shape != (count,) or (count and not 1 <= lengths.min() <= lengths.max() <= width):
            raise DataError(f"lengths of texts {lengths.shape}: expected {count} numbers from 1 to {width}")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.labels)

    def batch(self, chosen: NDArray[np.int64]) -> dict[str, Array]:
        """Return the inputs of the rows chosen, no longer than the longest of them."""
        if self.lengths is None:
            return {name: values[chosen] for name, values in self.inputs.items()}
        lengths = self.lengths[chosen]
        longest = int(lengths.max())
        found = {name: values[chosen, :longest] for name, values in self.inputs.items()}
        found["attention_mask"] = (np.arange(longest) < lengths[:, None]).astype(np.int64)
        return found

    def part(self, chosen: NDArray[np.int64]) -> "TuningRows":
        """Return the rows chosen."""
        lengths = None if self.lengths is None else self.lengths[chosen]
        inputs = {name: values[chosen] for name, values in self.inputs.items()}
        return TuningRows(inputs=inputs, labels=self.labels[chosen], lengths=lengths)


def text_rows(
    texts: Sequence[str], labels: Sequence[int], tokenizer: Callable[..., Any], *, max_length: int = 128
) -> TuningRows:
    """Return texts as tokens, without padding among the lengths.

    Parameters
    ----------
    texts, labels
        One of each a row; a text may be empty.
    tokenizer
        Called as those of transformers are: ``tokenizer(texts, truncation=True, max_length=...)["input_ids"]``.
    max_length
        Tokens of a text at most.

    Raises
    ------
    DataError
        If a text is none, or has no tokens of its own and the tokenizer adds none.
    """
    if wrong := [i for i, text in enumerate(texts) if not isinstance(text, str)]:
        raise DataError(f"row {wrong[0]} holds {excerpt(texts[wrong[0]])}: expected a text")
    try:
        tokens = (
            [list(t) for t in tokenizer(list(texts), truncation=True, max_length=max_length)[_TEXT]] if texts else []
        )
    except UnicodeError as error:
        raise DataError(f"a text cannot be made into tokens ({error}): does it hold half a character?") from error
    return _padded([{_TEXT: np.asarray(t, np.int64)} for t in tokens], labels)


def image_rows(pixels: Array, labels: Sequence[int] | Array) -> TuningRows:
    """Return images ``(n, channels, rows, columns)``, normalised as the encoder expects.

    Raises
    ------
    DataError
        If they have another shape or are not finite.
    """
    values = np.asarray(pixels, np.float32)
    if values.ndim != 4 or not np.isfinite(values).all():
        raise DataError(f"images of shape {values.shape}: expected (n, channels, rows, columns), all finite")
    return TuningRows(inputs={_IMAGE: values}, labels=np.asarray(labels, np.int64))


def rows_of(dataset: Any, *, tokenizer: Callable[..., Any] | None = None, max_length: int = 128) -> TuningRows:
    """Return the rows of a data set of one's own: anything with ``len`` whose items are read by number.

    Parameters
    ----------
    dataset
        Items are pairs of an input and a label, or mappings with a ``label`` or ``labels``. An input is a text, an
        image as an array, or a mapping of the encoder's inputs by name (tokens without padding, as a tokenizer gives
        them; a mask of its own is replaced). Arrays may be tensors.
    tokenizer, max_length
        For texts, as ``text_rows`` takes them.

    Raises
    ------
    DataError
        If items are of another kind, or texts come without a tokenizer.
    """
    items = [_item(dataset[i], i) for i in range(len(dataset))]
    labels = [label for _, label in items]
    if not items:
        raise DataError("a data set has no items: expected one at least")
    kinds = {type(value) if isinstance(value, str) else "named" for value, _ in items}
    if len(kinds) > 1:
        raise DataError("a data set holds texts beside other inputs: expected one kind")
    if kinds == {str}:
        if tokenizer is None:
            raise DataError("a data set holds texts: give a tokenizer, such as AutoTokenizer.from_pretrained(encoder)")
        return text_rows([value for value, _ in items], labels, tokenizer, max_length=max_length)
    rows = [{name: np.asarray(v) for name, v in _named(value).items()} for value, _ in items]
    if any(row.keys() != rows[0].keys() for row in rows):
        raise DataError("items of a data set have inputs of different names: expected the same of all")
    if _TEXT in rows[0]:
        return _padded([_without_padding(row, max_length) for row in rows], labels)
    try:
        inputs = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    except ValueError as error:
        raise DataError(f"items of a data set have inputs of different shapes ({error}): resize images") from error
    return TuningRows(inputs=inputs, labels=np.asarray(labels, np.int64))


def _item(item: Any, number: int) -> tuple[Any, int]:
    if isinstance(item, Mapping):
        names = [name for name in _LABELS if name in item]
        if len(names) != 1:
            raise DataError(f"item {number} of a data set has keys {sorted(map(str, item))}: expected one label")
        rest = {name: value for name, value in item.items() if name != names[0]}
        value, label = rest["text"] if rest.keys() == {"text"} else rest, item[names[0]]
    elif isinstance(item, tuple | list) and len(item) == 2:
        value, label = item
    else:
        raise DataError(f"item {number} of a data set is {type(item).__name__}: expected (input, label), or a mapping")
    number_of = np.asarray(label)
    if number_of.shape != () or number_of.dtype.kind not in "iu":
        raise DataError(f"item {number} of a data set has the label {excerpt(label)}: expected an integer")
    return value, int(number_of)


def _named(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {_IMAGE: value}


def _without_padding(row: dict[str, Array], max_length: int) -> dict[str, Array]:
    """Return tokens where the mask of a row is 1, if it has one."""
    mask = row.get("attention_mask", np.ones(row[_TEXT].shape)).astype(bool)
    if any(values.shape != mask.shape or values.ndim != 1 for values in row.values()):
        shapes = {name: values.shape for name, values in row.items()}
        raise DataError(f"tokens of a text have shapes {shapes}: expected (tokens,) for all")
    return {name: values[mask][:max_length] for name, values in row.items() if name != "attention_mask"}


def _padded(rows: list[dict[str, Array]], labels: Sequence[int]) -> TuningRows:
    lengths = np.array([len(row[_TEXT]) for row in rows], np.int64)
    if (lengths == 0).any():
        msg = f"row {int(np.argmin(lengths))} has no tokens: leave it out, or let the tokenizer mark where texts begin"
        raise DataError(msg)
    longest = int(lengths.max(initial=1))
    inputs = {}
    for name in rows[0] if rows else (_TEXT,):
        inputs[name] = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            inputs[name][i, : lengths[i]] = row[name]
    return TuningRows(inputs=inputs, labels=np.asarray(labels, np.int64), lengths=lengths)
