r"""The classifier that each user has on top of its own encoder.

.. math:: c(z) = W_2 \, \mathrm{LN}\bigl(\tanh(W_1 \, \mathrm{LN}(z / \|z\|) + b_1)\bigr) + b_2

with layer normalisations :math:`\mathrm{LN}` that have a scale and a shift. It learns from the encoder's own clean
latents, never from received ones. Training needs torch, use does not.

References
----------
Code of github.com/SPAICOM/multi-agent-semantic-alignment (of arXiv 2602.17271), where the batch size is
searched for on each machine; here it is fixed.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.rng import generator
from eafl_flower.core.settings import CountFromOne, Positive, check_settings
from eafl_flower.data.latents.values import LatentRows, Latents
from eafl_flower.errors import DataError
from eafl_flower.models.extras import require
from eafl_flower.types import Array

if TYPE_CHECKING:
    from torch import nn

_EPSILON = 1e-5  # of a layer normalisation
_SHORTEST = 1e-12  # a latent's length, at least


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """How a classifier learns: Adam on cross-entropy, until the validation loss has not fallen for ``patience`` epochs.

    Parameters
    ----------
    hidden
        Width of the inner layer.
    epochs, patience, batch_size
        Most epochs; epochs without a lower loss; rows of a step.
    learning_rate
        Of Adam.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    hidden: CountFromOne = 10
    epochs: CountFromOne = 100
    patience: CountFromOne = 20
    batch_size: CountFromOne = 128
    learning_rate: Positive = 1e-2

    def __post_init__(self) -> None:
        check_settings(self)


USUAL = Fitting()


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentClassifier:
    """A trained classifier.

    ``first`` and ``second`` hold, for the two halves of it, scale and shift of the normalisation, and weights
    ``(out, in)`` and bias of the linear layer, all float32.
    """

    first: tuple[Array, Array, Array, Array] = field(repr=False)
    second: tuple[Array, Array, Array, Array] = field(repr=False)

    def scores(self, latents: Array) -> NDArray[np.float32]:
        """Return logits ``(n, classes)`` of latents ``(n, d)``; raises ``DataError`` if d is another."""
        size = len(self.first[0])
        if latents.ndim != 2 or latents.shape[1] != size:
            raise DataError(f"latents are {latents.shape}, expected (n, {size}): they are of another encoder")
        z = latents.astype(np.float32)
        z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), np.float32(_SHORTEST))
        return _half(np.tanh(_half(z, *self.first)), *self.second)

    def predict(self, latents: Array) -> NDArray[np.int64]:
        """Return the class of each latent, ``(n,)``."""
        found: NDArray[np.int64] = np.argmax(self.scores(latents), axis=1)
        return found

    def accuracy(self, rows: LatentRows) -> float:
        """Return the share of rows that are classified rightly."""
        return float(np.mean(self.predict(rows.absolute) == rows.labels))


def _half(z: Array, scale: Array, shift: Array, weights: Array, bias: Array) -> NDArray[np.float32]:
    centred = z - z.mean(axis=1, keepdims=True)
    normal = centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + np.float32(_EPSILON))
    out: NDArray[np.float32] = (normal * scale + shift) @ weights.T + bias
    return out


def fit_classifier(latents: Latents, *, seed: int, fitting: Fitting = USUAL) -> LatentClassifier:
    """Return a classifier that has learnt from the pilots; its epoch is the one with the best validation accuracy.

    Of equal accuracies the earlier epoch counts. The same arguments give the same weights on one machine with the same
    threads of torch.

    Parameters
    ----------
    latents
        Of one encoder, with the splits ``train`` and ``val``.
    seed
        Decides weights and order.
    fitting
        How it learns.

    Raises
    ------
    DataError
        If a split is missing.
    ModuleNotFoundError
        If torch is not installed.
    """
    require("fit_classifier", "torch", extra="torch")
    import torch
    from torch.nn import functional

    rng = generator(seed, "latents", "classifier", latents.encoder)
    train, val = latents.rows("train"), latents.rows("val")
    x, y, x_val = (torch.from_numpy(a) for a in (train.absolute, train.labels, val.absolute))
    y_val = torch.from_numpy(val.labels)
    best, kept, lowest, waited = -1.0, None, np.inf, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        model = _module(latents.size, fitting.hidden, latents.classes)
        optimizer = torch.optim.Adam(model.parameters(), lr=fitting.learning_rate)
        for _ in range(fitting.epochs):
            order = rng.permutation(len(y))
            for batch in np.array_split(order, -(-len(y) // fitting.batch_size)):
                loss = functional.cross_entropy(model(functional.normalize(x[batch])), y[batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            with torch.no_grad():
                logits = model(functional.normalize(x_val))
                loss_val = float(functional.cross_entropy(logits, y_val))
                right = float((logits.argmax(1) == y_val).double().mean())
            if right > best:
                best, kept = right, [value.numpy(force=True).copy() for value in model.parameters()]
            lowest, waited = (loss_val, 0) if loss_val < lowest else (lowest, waited + 1)
            if waited >= fitting.patience:
                break
    assert kept is not None
    a, b = kept[:4], kept[4:]
    return LatentClassifier(first=(a[0], a[1], a[2], a[3]), second=(b[0], b[1], b[2], b[3]))


def _module(size: int, hidden: int, classes: int) -> "nn.Module":
    from torch import nn

    return nn.Sequential(
        nn.LayerNorm(size, eps=_EPSILON), nn.Linear(size, hidden), nn.Tanh(),
        nn.LayerNorm(hidden, eps=_EPSILON), nn.Linear(hidden, classes),
    )  # fmt: skip
