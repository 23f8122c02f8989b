"""A small multilayer perceptron for rows of features, on the CPU (numpy) or a GPU (torch).

Clients hold a few dozen rows and a step on them takes microseconds, so that autograd and optimiser
objects would cost more than the arithmetic. The backward pass of an MLP is a few lines; parameters and
gradients are one flat vector each, with the layers as views. Tests hold both against ``torch.autograd``
and ``torch.optim``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.settings import CountFromOne, NotNegative, Positive, check_settings
from eafl_flower.heads.memory import NO_MEMORY
from eafl_flower.models.cross_entropy import LACKING
from eafl_flower.protocols import Memory
from eafl_flower.tasks.backend import Backend, backend_for
from eafl_flower.tasks.checks import check_layout, check_rows
from eafl_flower.tasks.classifier import Classifier
from eafl_flower.tasks.memory import memory_of, recall
from eafl_flower.tasks.passes import steps_per_pass
from eafl_flower.tasks.training import Personal, Training
from eafl_flower.types import Arrays, Rows

WITHOUT_BACKBONE = {
    "private": 'a model without hidden layers is all head and nothing would be shared; set head = "federated"',
    "both": "a model without hidden layers is all head and a private one would share nothing with the federated one; "
    'set head = "federated"',
}


@dataclass(frozen=True, kw_only=True)
class Tabular(Personal):
    """``TabularTask`` by its settings.

    Raises
    ------
    ConfigError
        If a setting is out of range, or there is a private head without hidden layers below it.
    """

    hidden: tuple[CountFromOne, ...] = (32, 32)

    def __post_init__(self) -> None:
        text = "" if self.hidden else WITHOUT_BACKBONE.get(self.head, "")
        further = {"numeric_bins": self.bins_problem, "adadelta_constants": self.constants_problem}
        check_settings(self, head=text, **further)

    def make(self, training: Training) -> "TabularTask":
        """Return the task for features and classes."""
        quantiles = training.quantiles if self.numeric_bins else None
        return TabularTask(**vars(self), **training.steps_on_device, quantiles=quantiles)


@dataclass(frozen=True, kw_only=True)
class TabularTask(Classifier):
    r"""ReLU network ``num_inputs - hidden - num_classes`` under cross-entropy.

    .. math:: h_0 = \psi(x), \quad h_l = \max(0, W_l h_{l-1} + b_l), \quad p = \mathrm{softmax}(W_L h_{L-1} + b_L)

    :math:`\psi(x)` are the features, beside their bins where there are any. The arrays are
    ``W (outputs, inputs), b (outputs,)`` of each layer, float32. The hidden layers are the
    backbone, the last layer is the head. With a private head only the backbone is federated (FedPer).

    With both, a generic head :math:`g` stands between backbone and private head, for vehicles that come later. It is
    federated, too, and trained in the same steps on the loss of its own output over the classes that the client has,

    .. math:: -\log\frac{e^{g_y}}{\sum_{c:\,n_c > 0} e^{g_c}}

    (restricted softmax: what a client lacks it does not unlearn for others), and the backbone follows the gradients of
    both. The client itself goes by its private head alone, as the loss that it reports does.

    Parameters
    ----------
    num_features, num_classes
        Size of input and output.
    numeric_bins, quantiles
        See ``Classifier``.
    hidden
        Widths of the hidden layers.
    head
        ``"private"``: the last layer stays with the client; ``"federated"``: it travels too; ``"both"``: a private
        one, and a federated one beside it.
    optimizer, adadelta_constants, optimizer_state
        See ``WithOptimizer``.
    learning_rate, weight_decay
        Of the optimiser; the decay applies to all trained arrays.
    batch_size
        Rows a step; the last batch of a pass may be smaller.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"`` (CUDA where there is a GPU).

    Raises
    ------
    ConfigError
        If a setting is out of range, or there are both heads without hidden layers below them.

    References
    ----------
    Arivazhagan et al., "Federated learning with personalization layers", arXiv:1912.00818, 2019.
    Li and Zhan, "FedRS: federated learning with restricted softmax for label distribution non-IID data", KDD 2021.
    """

    hidden: tuple[CountFromOne, ...] = (32, 32)
    learning_rate: Positive = 0.1
    weight_decay: NotNegative = 0.0
    batch_size: CountFromOne = 16
    device: Literal["cpu", "cuda", "auto"] = "cpu"

    def __post_init__(self) -> None:
        text = "" if self.hidden or self.head != "both" else WITHOUT_BACKBONE["both"]
        further = {"numeric_bins": self._wrong_bins, "adadelta_constants": self.constants_problem}
        check_settings(self, head=text, **further)

    @property
    def num_shared(self) -> int:
        """Number of leading arrays that are federated."""
        return self.num_backbone + (0 if self.head == "private" else 2)

    @property
    def num_backbone(self) -> int:
        """Number of arrays of the hidden layers."""
        return 2 * len(self.hidden)

    def init(self, rng: np.random.Generator) -> Arrays:
        """Return weights and biases uniform within ± 1/sqrt(inputs), as ``torch.nn.Linear`` has them.

        Where there are both heads, they begin as the same function.
        """
        shapes = self._shapes[: self.num_backbone + 2]
        bounds = [shape[1] ** -0.5 for shape in shapes[::2] for _ in range(2)]
        arrays = tuple(
            rng.uniform(-bound, bound, shape).astype(np.float32) for bound, shape in zip(bounds, shapes, strict=True)
        )
        return arrays + tuple(a.copy() for a in arrays[-2:] if self.head == "both")

    def personalise(self, model: Arrays, rows: Rows, rng: np.random.Generator, *, client: int) -> Arrays:
        """Return ``model``: all clients start from one head."""
        return model

    def check_head(self, head: Arrays) -> None:
        """Raise ``ProtocolError`` unless ``head`` has the layout of the arrays that are not federated."""
        like = [np.empty(shape, np.float32) for shape in self._shapes[self.num_shared :]]
        check_layout(head, like, "the stored head has")

    def _train(
        self,
        arrays: Arrays,
        rows: Rows,
        rng: np.random.Generator,
        memory: Memory | None,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        first_trained: int = 0,
    ) -> tuple[Arrays, float, Memory]:
        x, y = rows.x_train, rows.y_train
        check_rows(x, y, num_features=self.num_features, num_classes=self.num_classes)
        plan = steps_per_pass(len(x), self.batch_size, epochs=epochs, steps=steps)
        backend = backend_for(self.device)
        flat = backend.put(np.concatenate([a.ravel() for a in arrays]))
        parameters = self._views(flat)
        # layers before the first that trains are a fixed function of the rows: computed once
        frozen = min(first_trained // 2 * 2, self.num_backbone)
        features = _hidden(backend.put(self.inputs(x)), parameters[:frozen])[-1]
        targets = backend.put(np.eye(self.num_classes, dtype=np.float32)[y])
        flat_gradient = 0 * flat
        gradients = self._views(flat_gradient)
        generic = None
        if self.head == "both" and first_trained < self.num_backbone:
            present = np.bincount(y, minlength=self.num_classes) > 0
            lacking = backend.put(np.where(present, 0, LACKING).astype(np.float32))
            (weight, bias), (weight_gradient, bias_gradient) = parameters[-4:-2], gradients[-4:-2]
            generic = Generic(weight, bias, weight_gradient, bias_gradient, lacking)
        elif self.head == "both":
            first_trained = max(first_trained, self.num_shared)
        parameters, gradients = (a[frozen : self.num_backbone] + a[-2:] for a in (parameters, gradients))
        trained, gradient = flat[self._offsets[first_trained] :], flat_gradient[self._offsets[first_trained] :]
        optimizer = self.new_optimizer(self.learning_rate, self.weight_decay)
        recall(memory or NO_MEMORY, {"model": optimizer}, {"model": len(trained)}, backend)
        size, seen, loss = self.batch_size, 1, 0 * flat[0]
        for batches in plan:
            order = backend.put(rng.permutation(len(y))[: batches * size])
            xs, ys = features[order], targets[order]
            seen, loss = len(order), 0 * loss
            for i in range(0, batches * size, size):
                loss = loss + _backward(backend, xs[i : i + size], ys[i : i + size], parameters, gradients, generic)
                optimizer.step(trained, gradient)
        remembered = NO_MEMORY if memory is None else memory_of({"model": optimizer}, backend)
        return tuple(self._views(backend.get(flat))), float(loss) / seen, remembered

    def _logits(self, arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float32]:
        backend = backend_for(self.device)
        parameters = [backend.put(a) for a in arrays]
        hidden = _hidden(backend.put(x), parameters[: self.num_backbone])[-1]
        logits: NDArray[np.float32] = backend.get(hidden @ parameters[-2].T + parameters[-1])
        return logits

    @cached_property
    def _shapes(self) -> list[tuple[int, ...]]:
        widths = (self.num_inputs, *self.hidden, self.num_classes)
        shapes: list[tuple[int, ...]] = [
            shape for inputs, outputs in pairwise(widths) for shape in ((outputs, inputs), (outputs,))
        ]
        return shapes + (shapes[-2:] if self.head == "both" else [])

    @cached_property
    def _offsets(self) -> list[int]:
        return list(accumulate((int(np.prod(s)) for s in self._shapes), initial=0))

    def _views(self, flat: Any) -> list[Any]:
        bounds = pairwise(self._offsets)
        return [flat[i:j].reshape(shape) for (i, j), shape in zip(bounds, self._shapes, strict=True)]


def _hidden(x: Any, parameters: Sequence[Any]) -> list[Any]:
    """Return ``x`` and the output of each ReLU layer."""
    outputs = [x]
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        x = x @ weight.T
        x += bias
        x *= x > 0
        outputs.append(x)
    return outputs


class Generic(NamedTuple):
    """The generic head of a job: its parameters, where their gradients go, and what is added to its logits."""

    weight: Any
    bias: Any
    weight_gradient: Any
    bias_gradient: Any
    lacking: Any

    def backward(self, xp: Any, x: Any, y: Any) -> Any:
        """Return the gradient of the mean loss by ``x``, the backbone's outputs; write those of the parameters."""
        logits = x @ self.weight.T
        logits += self.bias
        logits += self.lacking
        _, error = _cross_entropy(xp, logits, y)
        xp.matmul(error.T, x, out=self.weight_gradient)
        self.bias_gradient[:] = error.sum(axis=0)
        return error @ self.weight


def _backward(
    backend: Backend,
    x: Any,
    y: Any,
    parameters: Sequence[Any],
    gradients: Sequence[Any],
    generic: Generic | None = None,
) -> Any:
    """Return the summed loss of a batch with one-hot labels ``y``; write the gradients of its mean.

    Those of a generic head are of its own loss, and the layers below have those of both.
    """
    xp = backend.functions
    inputs = _hidden(x, parameters[:-2])
    logits = inputs[-1] @ parameters[-2].T
    logits += parameters[-1]
    loss, error = _cross_entropy(xp, logits, y)
    top = len(inputs) - 1
    for layer in range(top, -1, -1):
        xp.matmul(error.T, inputs[layer], out=gradients[2 * layer])
        gradients[2 * layer + 1][:] = error.sum(axis=0)
        if layer:
            error = error @ parameters[2 * layer]
            if layer == top and generic is not None:
                error += generic.backward(xp, inputs[top], y)
            error *= inputs[layer] > 0  # a ReLU passes the error where its output is positive
    return loss


def _cross_entropy(xp: Any, logits: Any, y: Any) -> tuple[Any, Any]:
    """Return the summed loss and the gradient of the mean loss, (p - y) / n; ``logits`` is overwritten."""
    logits -= xp.amax(logits, axis=1, keepdims=True)
    error = xp.exp(logits)
    total = error.sum(axis=1, keepdims=True)
    loss = xp.log(total).sum() - (logits * y).sum()
    error /= total
    error -= y
    error /= len(y)
    return loss, error
