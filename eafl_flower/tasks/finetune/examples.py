"""What a classifier is fine-tuned on: texts as tokens, images, or rows of somebody's own data set, with labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import DataError

if TYPE_CHECKING:
    import torch

Places = NDArray[np.int64]


class Inputs(Protocol):
    """Rows that become batches of a model's inputs."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def batch(self, places: Places) -> "dict[str, torch.Tensor]":
        """Return the model's inputs for these rows."""


@dataclass(frozen=True)
class Examples:
    """Rows with labels.

    Parameters
    ----------
    inputs
        The rows.
    labels
        Class of each ``(n,)``.

    Raises
    ------
    DataError
        If there are not as many labels as rows, or one is negative.
    """

    inputs: Inputs
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.inputs),):
            raise DataError(f"{len(self.inputs)} rows with labels of shape {self.labels.shape}: expected one for each")
        if len(self.labels) and self.labels.min() < 0:
            raise DataError(f"label {self.labels.min()}: expected numbers of classes, from 0")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Tokens:
    """Texts as tokens; a batch is as long as the longest text in it.

    Parameters
    ----------
    ids
        Tokens of each text.
    padding
        The token that fills up.
    """

    ids: tuple[NDArray[np.int64], ...]
    padding: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, places: Places) -> "dict[str, torch.Tensor]":
        """Return ``input_ids`` and ``attention_mask``."""
        import torch

        rows = [self.ids[place] for place in places]
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self.padding)
        mask = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


@dataclass(frozen=True)
class Pixels:
    """Images ``(n, channels, rows, columns)`` as the model takes them, scaled already."""

    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, places: Places) -> "dict[str, torch.Tensor]":
        """Return ``pixel_values``."""
        import torch

        return {"pixel_values": torch.from_numpy(self.values[places])}


@dataclass(frozen=True)
class Collated:
    """Rows of somebody's own data set, made into batches by a function of theirs."""

    dataset: Sequence[Any]
    collate: "Callable[[list[Any]], Mapping[str, torch.Tensor]]"

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, places: Places) -> "dict[str, torch.Tensor]":
        """Return what the function makes of these rows, without their labels."""
        found = dict(self.collate([self.dataset[int(place)] for place in places]))
        return {name: values for name, values in found.items() if name not in ("labels", "label")}


def tokens_of(texts: Sequence[str], labels: Sequence[int], tokenizer: Any, *, max_length: int = 32) -> Examples:
    """Return texts as a tokenizer of transformers makes tokens of them, each cut to ``max_length``."""
    if not texts:
        return Examples(Tokens(()), np.zeros(0, np.int64))
    ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    rows = tuple(np.asarray(row, np.int64) for row in ids)
    return Examples(Tokens(rows, int(tokenizer.pad_token_id or 0)), np.asarray(labels, np.int64))


def examples_of(
    dataset: Sequence[Any], collate: "Callable[[list[Any]], Mapping[str, torch.Tensor]]", *, label: str = "labels"
) -> Examples:
    """Return a data set of one's own, of dictionaries, with a collate function as a ``DataLoader`` has it.

    Parameters
    ----------
    dataset
        Anything with a length whose rows have a ``label``.
    collate
        Makes a dictionary of the model's inputs of a list of rows, ``transformers.DataCollatorWithPadding`` say.
    label
        Where a row has its class.

    Raises
    ------
    DataError
        If a row has none.
    """
    try:
        labels = np.array([int(dataset[i][label]) for i in range(len(dataset))], np.int64)
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(f'a row of the data set has no class under "{label}": set label to its name') from error
    return Examples(Collated(dataset, collate), labels)
