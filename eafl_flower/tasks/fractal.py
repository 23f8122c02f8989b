"""Fractal networks: a shared backbone and a private head whose size fits the client (AFWPM).

The backbone is a fractal block of depth 2 and width 32; the head is a fractal block on its 32 outputs with
a linear classifier. See ``models/fractal.py`` for the blocks and ``heads/`` for the sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.heads.size import BACKBONE_DEPTH, BACKBONE_WIDTH, LARGEST, HeadSize
from eafl_flower.models.fractal import Fractal, Views, cross_entropy
from eafl_flower.tasks.backend import DEVICES, Backend, backend_for
from eafl_flower.tasks.checks import check_features, check_rows
from eafl_flower.tasks.passes import steps_per_pass
from eafl_flower.tasks.probabilities import probabilities
from eafl_flower.tasks.tabular import HEADS, OPTIMIZERS
from eafl_flower.types import Array, Arrays, Rows

FEDERATED_SIZE = HeadSize(1, 16)


@dataclass(frozen=True, kw_only=True)
class FractalTask:
    r"""Classifier :math:`h_{\phi_k}(f_\theta(x))` under cross-entropy, :math:`\theta` shared, :math:`\phi_k` private.

    A local epoch with a private head is two passes over the rows: first the head on frozen features, then
    the backbone under the frozen head, so that what a client sends is the direction that helps *given* a
    head that fits. A job of so many ``steps`` and one with a federated head train all layers together.

    Parameters
    ----------
    num_features, num_classes
        Size of input and output.
    head
        ``"private"``: the head stays with the client; ``"federated"``: it travels too, and all clients
        have the same size.
    head_sizes
        Sizes of the heads, given to the clients in turn. A federated head has one: the first, by default
        ``1x16``.
    optimizer
        ``"sgd"`` or ``"adamw"``; fresh in every job, one for the backbone and one for the head.
    learning_rate, weight_decay
        Of the optimiser; the decay applies to all trained arrays.
    batch_size
        Rows a step; the last batch of a pass may be smaller.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"`` (CUDA where there is a GPU).

    Raises
    ------
    ConfigError
        If a setting is out of range.

    References
    ----------
    Arivazhagan et al., "Federated learning with personalization layers", arXiv:1912.00818, 2019.
    Collins et al., "Exploiting shared representations for personalized federated learning", ICML 2021.
    """

    num_features: int
    num_classes: int
    head: Literal["private", "federated"] = "private"
    head_sizes: tuple[HeadSize, ...] = ()
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = 0.1
    weight_decay: float = 0.0
    batch_size: int = 16
    device: Literal["cpu", "cuda", "auto"] = "cpu"

    def __post_init__(self) -> None:
        wrong = [
            f'{name} = "{getattr(self, name)}": expected one of {", ".join(allowed)}'
            for name, allowed in (("head", HEADS), ("optimizer", tuple(OPTIMIZERS)), ("device", DEVICES))
            if getattr(self, name) not in allowed
        ]
        if min(self.num_features, self.num_classes, self.batch_size) < 1:
            wrong.append("sizes must be at least 1")
        if not self.learning_rate > 0 or not self.weight_decay >= 0:
            wrong.append("expected a positive learning rate and weight decay >= 0")
        if self.head == "federated" and len(self.head_sizes) > 1:
            wrong.append("a federated head has one size for all clients")
        if wrong:
            msg = f"{self}: {'; '.join(wrong)}"
            raise ConfigError(msg)

    @property
    def num_shared(self) -> int:
        """Number of leading arrays that are federated."""
        return self.num_backbone + (len(self._initial_head.shapes) if self.head == "federated" else 0)

    @property
    def num_backbone(self) -> int:
        """Number of arrays of the backbone."""
        return len(self.backbone.shapes)

    @cached_property
    def backbone(self) -> Fractal:
        """Structure of the backbone."""
        return Fractal(self.num_features, BACKBONE_WIDTH, BACKBONE_DEPTH)

    def init(self, rng: np.random.Generator) -> Arrays:
        """Return initial arrays; a private head is the largest one, of which ``personalise`` cuts each client's."""
        backbone = self.backbone.init(rng)
        largest = self._head_of(LARGEST)
        return backbone + largest.cut(largest.init(rng), self._initial_head)

    def personalise(self, model: Arrays, rows: Rows, rng: np.random.Generator, *, client: int) -> Arrays:
        """Return the model with the head that ``client`` starts from."""
        if self.head == "federated":
            return model
        size = self.head_sizes[client % len(self.head_sizes)] if self.head_sizes else FEDERATED_SIZE
        shared, head = model[: self.num_backbone], model[self.num_backbone :]
        return shared + self._initial_head.cut(head, self._head_of(size))

    def check_head(self, head: Arrays) -> None:
        """Raise ``ProtocolError`` unless ``head`` is a private head of this task, of any size."""
        self._structure(head)

    def train(
        self,
        arrays: Arrays,
        rows: Rows,
        rng: np.random.Generator,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        first_trained: int = 0,
    ) -> tuple[Arrays, float]:
        """Return arrays after training on the training rows and the mean loss of the last pass over them.

        Parameters
        ----------
        arrays
            The complete model.
        rows
            The client's rows; only the training rows are looked at.
        rng
            Shuffles the rows before each pass.
        epochs, steps
            Length of the job: in epochs (with a private head each a pass for the head and one for the
            backbone) or in batches that train both together.
        first_trained
            0, or ``num_backbone`` for a frozen backbone.

        Raises
        ------
        DataError
            If there are no training rows, or rows and model do not fit.
        ConfigError
            If there is no such device.
        torch.OutOfMemoryError
            If the GPU is full.
        """
        x, y = rows.x_train, rows.y_train
        check_rows(x, y, num_features=self.num_features, num_classes=self.num_classes)
        if first_trained not in (0, self.num_backbone):
            msg = (
                f"first_trained = {first_trained}: expected 0 or {self.num_backbone}, the backbone is frozen as a whole"
            )
            raise ValueError(msg)
        plan = steps_per_pass(len(x), self.batch_size, epochs=epochs, steps=steps)
        head = self._structure(arrays[self.num_backbone :])
        backend = backend_for(self.device)
        job = _Job(self, backend, head, arrays)
        inputs = backend.put(np.ascontiguousarray(x.T)[None])
        targets = backend.put(np.ascontiguousarray(np.eye(self.num_classes, dtype=np.float32)[y].T)[None])
        loss = 0.0
        if first_trained:
            inputs = job.features(inputs)  # a frozen backbone is a fixed function of the rows
        for batches in plan:
            if first_trained or steps is not None or self.head == "federated":
                loss = job.run_pass(inputs, targets, rng, batches, backbone=not first_trained, head=True)
            else:
                job.run_pass(job.features(inputs), targets, rng, batches, backbone=False, head=True)
                loss = job.run_pass(inputs, targets, rng, batches, backbone=True, head=False)
        return job.arrays(), loss

    def evaluate(self, arrays: Arrays, rows: Rows) -> tuple[float, float]:
        """Return mean loss and accuracy on the test rows; zeros if there are none."""
        x, y = rows.x_test, rows.y_test
        check_rows(x, y, num_features=self.num_features, num_classes=self.num_classes)
        if not len(y):
            return 0.0, 0.0
        logits = self._logits(arrays, x)
        logits -= logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
        return float(losses.mean()), float((logits.argmax(axis=1) == y).mean())

    def predict(self, arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the class probabilities ``(n, classes)`` of rows ``(n, features)``."""
        check_features(x, num_features=self.num_features)
        return probabilities(self._logits(arrays, x))

    def _logits(self, arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float32]:
        backend = backend_for(self.device)
        job = _Job(self, backend, self._structure(arrays[self.num_backbone :]), arrays)
        logits: NDArray[np.float32] = backend.get(job.logits(backend.put(np.ascontiguousarray(x.T)[None])))[0].T
        return logits

    @cached_property
    def _initial_head(self) -> Fractal:
        return self._head_of(LARGEST if self.head == "private" else (*self.head_sizes, FEDERATED_SIZE)[0])

    def _head_of(self, size: HeadSize) -> Fractal:
        return Fractal(BACKBONE_WIDTH, size.width, size.depth, self.num_classes)

    def _structure(self, head: Sequence[Array]) -> Fractal:
        """Return the structure of a head's arrays."""
        for depth in range(LARGEST.depth + 1):
            if len(head) == 4 * 2**depth + 1:
                width = head[-2].shape[-1] if head[-2].ndim else 0
                structure = self._head_of(HeadSize(depth, width))
                if tuple(a.shape for a in head) == structure.shapes:
                    return structure
        msg = f"a head of shapes {[a.shape for a in head]} is none of this task ({self.num_classes} classes)"
        raise ProtocolError(msg)


class _Job:
    """Backbone and head in one flat vector on a backend, with gradients and optimisers beside it."""

    def __init__(self, task: FractalTask, backend: Backend, head: Fractal, arrays: Arrays) -> None:
        self.task, self.backend, self.head, self.backbone = task, backend, head, task.backbone
        count = len(self.backbone.shapes)
        flat = np.concatenate([self.backbone.pack(arrays[:count]), head.pack(arrays[count:])])
        self.flat = backend.put(flat)
        self.gradient = 0 * self.flat
        first, last = self.backbone.num_parameters, self.backbone.num_parameters + head.num_parameters
        self.spans = {(True, False): slice(0, first), (False, True): slice(first, last), (True, True): slice(0, last)}
        self.split = first
        self.parameters, self.gradients = self._views(self.flat), self._views(self.gradient)
        made = OPTIMIZERS[task.optimizer]
        self.optimizers = {part: made(task.learning_rate, task.weight_decay) for part in self.spans}

    def _views(self, flat: Any) -> tuple[Views, Views]:
        return self.backbone.views(flat[: self.split]), self.head.views(flat[self.split :])

    def features(self, inputs: Any) -> Any:
        """Return the backbone's outputs."""
        return self.backbone.forward(self.backend.functions, self.parameters[0], inputs).outputs

    def logits(self, inputs: Any) -> Any:
        """Return the model's outputs."""
        return self.head.forward(self.backend.functions, self.parameters[1], self.features(inputs)).outputs

    def run_pass(
        self, inputs: Any, targets: Any, rng: np.random.Generator, batches: int, *, backbone: bool, head: bool
    ) -> float:
        """Train backbone, head or both for so many batches of shuffled rows; return their mean loss.

        ``inputs`` are the rows, or their features if the backbone does not train.
        """
        xp, size = self.backend.functions, self.task.batch_size
        (below, above), (below_gradients, above_gradients) = self.parameters, self.gradients
        span, optimizer = self.spans[backbone, head], self.optimizers[backbone, head]
        trained, gradient = self.flat[span], self.gradient[span]
        order = self.backend.put(rng.permutation(inputs.shape[-1])[: batches * size])
        xs, ys = inputs[:, :, order], targets[:, :, order]
        loss: Any = 0.0
        for i in range(0, batches * size, size):
            x = xs[:, :, i : i + size]
            lower = self.backbone.forward(xp, below, x) if backbone else None
            upper = self.head.forward(xp, above, x if lower is None else lower.outputs)
            summed, error = cross_entropy(xp, upper.outputs, ys[:, :, i : i + size])
            loss = loss + summed
            error = self.head.backward(xp, above, upper, error, above_gradients if head else None, to_inputs=backbone)
            if lower is not None:
                self.backbone.backward(xp, below, lower, error, below_gradients, to_inputs=False)
            optimizer.step(trained, gradient)
        return float(loss) / len(order)

    def arrays(self) -> Arrays:
        """Return the arrays of the complete model."""
        flat = self.backend.get(self.flat)
        return self.backbone.unpack(flat[: self.split]) + self.head.unpack(flat[self.split :])
