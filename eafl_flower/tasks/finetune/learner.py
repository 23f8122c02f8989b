"""Adapters and a linear head on a frozen encoder, trained on the rows of one client."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.orders import Enough
from eafl_flower.core.settings import CountFromOne, NotNegative, Positive, Range, check_settings
from eafl_flower.errors import ClientFailedError, DataError, ProtocolError
from eafl_flower.models.lora import Adapted
from eafl_flower.tasks.finetune.rows import TuningRows
from eafl_flower.tasks.optimizers import WithOptimizer
from eafl_flower.tasks.passes import steps_per_pass
from eafl_flower.types import Array, Arrays

if TYPE_CHECKING:
    import torch

_AT_ONCE = 128  # rows of a pass without training
_SORTED = 16  # batches that are put in order of length together
_HEAD_SCALE = 0.02
_POSITIONS = "max_position_embeddings"


@dataclass(frozen=True, kw_only=True)
class FineTune(WithOptimizer):
    r"""Cross-entropy of a linear head on the features of an encoder with adapters.

    .. math:: p = \mathrm{softmax}(W f(x) + b)

    The arrays are :math:`A_1, B_1, A_2, B_2, \ldots` of ``encoder.layers``, then W ``(classes, width)`` and b, float32.
    Any rank may come, also one of each layer. Several tasks may share an encoder: it keeps nothing between two calls.

    Parameters
    ----------
    encoder
        The frozen encoder.
    num_labels
        Classes, two at least.
    optimizer, adadelta_constants, optimizer_state
        See ``WithOptimizer``. What an optimiser remembers has the rank of its job, so each begins afresh.
    learning_rate, weight_decay
        Of the optimiser.
    batch_size
        Rows a step; the last batch of a pass may be smaller.
    by_length
        Batches are made of texts of like length, of every 16 batches drawn, and come in random order: less padding.
    """

    encoder: Adapted = field(metadata={"setting": False})
    num_labels: Annotated[int, Range(2)]
    optimizer: Literal["sgd", "adamw", "adadelta", "adam", "rmsprop"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    batch_size: CountFromOne = 16
    by_length: bool = True

    def __post_init__(self) -> None:
        kept = 'expected "reset": ranks change between jobs' if self.optimizer_state == "kept" else ""
        check_settings(self, adadelta_constants=self.constants_problem, optimizer_state=kept)

    @property
    def num_factors(self) -> int:
        """Number of arrays before those of the head."""
        return 2 * len(self.encoder.layers)

    def init(self, rng: np.random.Generator, rank: int) -> Arrays:
        """Return factors whose products are zero, small random weights of the head, and a bias of zeros.

        Raises
        ------
        ConfigError
            If the rank is below 1 or above a side of a layer.
        """
        factors = self.encoder.init(rng, rank)
        weights = _HEAD_SCALE * rng.standard_normal((self.num_labels, self.encoder.width))
        return (*factors, weights.astype(np.float32), np.zeros(self.num_labels, np.float32))

    def train(
        self,
        arrays: Arrays,
        rows: TuningRows,
        rng: np.random.Generator,
        *,
        epochs: int = 1,
        frozen_layers: Collection[int] = (),
        tail_weight: float = 0.0,
        gamma: float = 0.99,
    ) -> tuple[Arrays, float]:
        """Return the arrays after so many passes over the rows, and the mean loss of the last one.

        Parameters
        ----------
        arrays, rows
            They stay as they are.
        rng
            Of the order of rows, and of dropout: with one number of threads the same generator gives the same arrays.
        epochs
            Passes.
        frozen_layers
            Numbers of layers whose adapters stay as they are, as FedRA needs.
        tail_weight, gamma
            HetLoRA: the loss has ``tail_weight`` times ``Adapted.tail(gamma)`` added; what is returned is without.

        Raises
        ------
        DataError
            If there are no rows, or they do not fit the encoder or the classes.
        ProtocolError, ConfigError
            If arrays do not fit the encoder.
        ClientFailedError
            If the loss stops being finite.
        """
        how = {"frozen_layers": frozen_layers, "tail_weight": tail_weight, "gamma": gamma}
        trained, losses = self._train(arrays, rows, rng, epochs, None, **how)  # type: ignore[arg-type]
        return trained, losses[-1] if losses else 0.0

    def train_until(
        self,
        arrays: Arrays,
        rows: TuningRows,
        rng: np.random.Generator,
        stop: Enough,
        *,
        frozen_layers: Collection[int] = (),
        tail_weight: float = 0.0,
        gamma: float = 0.99,
    ) -> tuple[Arrays, list[float]]:
        """Return the arrays, and the mean loss of each pass, after as many as ``stop`` wants; else as ``train``."""
        how = {"frozen_layers": frozen_layers, "tail_weight": tail_weight, "gamma": gamma}
        return self._train(arrays, rows, rng, stop.most, stop, **how)  # type: ignore[arg-type]

    def _train(
        self,
        arrays: Arrays,
        rows: TuningRows,
        rng: np.random.Generator,
        passes: int,
        stop: Enough | None,
        *,
        frozen_layers: Collection[int],
        tail_weight: float,
        gamma: float,
    ) -> tuple[Arrays, list[float]]:
        import torch
        from torch.nn.functional import cross_entropy

        self._check(rows)
        steps_per_pass(len(rows), self.batch_size, epochs=1, steps=None)
        encoder = self._loaded(arrays, frozen_layers)
        vector, gradient = encoder.trained()
        optimizer = self.new_optimizer(self.learning_rate, self.weight_decay)
        losses: list[float] = []
        with encoder.training(rng):
            for _ in range(passes):
                total = torch.zeros((), device=encoder.device)
                for chosen in self._batches(rows, rng):
                    targets = torch.from_numpy(rows.labels[chosen].astype(np.int64)).to(encoder.device)
                    loss = cross_entropy(encoder.logits(_tensors(rows.batch(chosen), encoder.device)), targets)
                    total += loss.detach() * len(chosen)
                    if tail_weight:
                        loss = loss + tail_weight * encoder.tail(gamma)
                    gradient.zero_()
                    loss.backward()  # type: ignore[no-untyped-call]
                    with torch.no_grad():
                        optimizer.step(vector, gradient)
                losses.append(float(total) / len(rows))
                if not np.isfinite(losses[-1]):
                    msg = (
                        f"the loss is {losses[-1]} in pass {len(losses)} over {len(rows)} rows: training has diverged, "
                        f"lower learning_rate = {self.learning_rate:g}, or look for values that are not finite"
                    )
                    raise ClientFailedError(msg)
                if stop is not None and stop.after(losses):
                    break
        return encoder.arrays(), losses

    def predict(self, arrays: Arrays, rows: TuningRows) -> NDArray[np.float32]:
        """Return logits ``(n, num_labels)``; raises as ``train``."""
        import torch

        self._check(rows)
        encoder = self._loaded(arrays)
        found = np.empty((len(rows), self.num_labels), np.float32)
        order = np.argsort(rows.lengths, kind="stable") if rows.lengths is not None else np.arange(len(rows))
        with torch.inference_mode():
            for start in range(0, len(rows), _AT_ONCE):
                chosen = order[start : start + _AT_ONCE]
                found[chosen] = encoder.logits(_tensors(rows.batch(chosen), encoder.device)).cpu().numpy()
        return found

    def evaluate(self, arrays: Arrays, rows: TuningRows) -> tuple[float, dict[str, float]]:
        """Return the mean loss and the ``accuracy``, a share of 1; raises as ``train``."""
        if not len(rows):
            raise DataError("there are no rows to score: give some, or do not score this client")
        logits = self.predict(arrays, rows).astype(np.float64)
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_share = shifted[np.arange(len(rows)), rows.labels] - np.log(np.exp(shifted).sum(axis=1))
        accuracy = float(np.mean(logits.argmax(axis=1) == rows.labels))
        return float(-log_share.mean()), {"accuracy": accuracy}

    def _loaded(self, arrays: Arrays, frozen: Collection[int] = ()) -> Adapted:
        head = [tuple(a.shape) for a in arrays[self.num_factors :]]
        expected = [(self.num_labels, self.encoder.width), (self.num_labels,)]
        if len(arrays) >= self.num_factors and head != expected:
            raise ProtocolError(f"a head of shapes {head}: expected {expected}, of {self.num_labels} classes")
        self.encoder.load(arrays, frozen)
        return self.encoder

    def _check(self, rows: TuningRows) -> None:
        labels = rows.labels
        if len(labels) and not 0 <= labels.min() <= labels.max() < self.num_labels:
            raise DataError(f"labels from {labels.min()} to {labels.max()}: expected 0 to {self.num_labels - 1}")
        tokens = rows.inputs.get("input_ids")
        if tokens is None or rows.lengths is None or not len(rows):
            return
        limits = {name: int(getattr(self.encoder.config, name, 0) or 0) for name in ("vocab_size", _POSITIONS)}
        if limits["vocab_size"] and not 0 <= tokens.min() <= tokens.max() < limits["vocab_size"]:
            msg = f"tokens from {tokens.min()} to {tokens.max()}: the encoder knows 0 to {limits['vocab_size'] - 1}"
            raise DataError(msg + "; are they of its own tokenizer?")
        if 0 < limits[_POSITIONS] < (longest := int(rows.lengths.max())):
            raise DataError(f"a text has {longest} tokens, the encoder reads {limits[_POSITIONS]}: lower max_length")

    def _batches(self, rows: TuningRows, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Return the rows of each batch of one pass."""
        order, size = rng.permutation(len(rows)), self.batch_size
        if rows.lengths is None or not self.by_length:
            return (order[i : i + size] for i in range(0, len(order), size))
        at_once = _SORTED * size
        parts = [order[i : i + at_once] for i in range(0, len(order), at_once)]
        order = np.concatenate([part[np.argsort(rows.lengths[part], kind="stable")] for part in parts])
        starts = rng.permutation(-(-len(order) // size)) * size
        return (order[i : i + size] for i in starts)


def _tensors(inputs: Mapping[str, Array], device: "torch.device") -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.ascontiguousarray(values)).to(device) for name, values in inputs.items()}
