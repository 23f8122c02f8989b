"""A module of torch as a task: parameters go in and out as numpy arrays, gradients come from autograd.

The module is built once for a task. Its parameters are views of one flat vector, and so are their gradients: a job
copies its arrays in, an optimiser updates one vector however many layers there are, and a copy comes out. A task is for
one thread at a time.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.settings import CountFromOne, NotNegative, Positive
from eafl_flower.heads.memory import NO_MEMORY
from eafl_flower.models.extras import require
from eafl_flower.protocols import Memory
from eafl_flower.tasks.backend import backend_for, torch_backend
from eafl_flower.tasks.checks import check_layout, check_rows
from eafl_flower.tasks.classifier import ByLogits
from eafl_flower.tasks.memory import memory_of, recall
from eafl_flower.tasks.optimizers import WithOptimizer
from eafl_flower.tasks.passes import steps_per_pass
from eafl_flower.types import Arrays, Rows

if TYPE_CHECKING:
    import torch
    from torch import nn

ROWS_AT_ONCE = 256  # of a pass without training, whose intermediate results must fit into memory
POSITION_SCALE = 0.02


def require_torch(what: str) -> None:
    """Import torch and hold it to the threads that numpy has.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed; says what needs it and how to install it.
    """
    require(what, "torch", extra="torch")


@dataclass(frozen=True, kw_only=True)
class TorchTask(ByLogits, WithOptimizer):
    r"""A backbone of torch and a linear layer, the head, under cross-entropy; all of it is federated.

    .. math:: p = \mathrm{softmax}(W f(x) + b)

    The arrays are the parameters of the backbone in the order in which torch names them, then W ``(classes, features)``
    and b ``(classes,)``, float32.

    Parameters
    ----------
    num_features, num_classes
        Size of input and output.
    optimizer, adadelta_constants, optimizer_state
        See ``WithOptimizer``.
    learning_rate, weight_decay
        Of the optimiser; the decay applies to all trained arrays.
    batch_size
        Rows a step; the last batch of a pass may be smaller.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"`` (CUDA where there is a GPU). On a CPU the same generator gives the same
        arrays, for one number of threads.
    """

    learning_rate: Positive = 0.1
    weight_decay: NotNegative = 0.0
    batch_size: CountFromOne = 16
    device: Literal["cpu", "cuda", "auto"] = "cpu"

    @abstractmethod
    def _backbone(self) -> tuple["nn.Module", int]:
        """Return the module from rows ``(n, num_features)`` to features ``(n, width)``, and the width."""

    @property
    def num_shared(self) -> int:
        """All arrays are federated."""
        return len(self._network.shapes)

    @property
    def num_backbone(self) -> int:
        """Number of arrays before those of the linear layer."""
        return self.num_shared - 2

    def init(self, rng: np.random.Generator) -> Arrays:
        """Return initial arrays: Glorot-uniform weights, norms of one, small random positions, all else zero.

        References
        ----------
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
        """
        return tuple(_initial(name, shape, rng) for name, shape in self._network.shapes.items())

    def personalise(self, model: Arrays, rows: Rows, rng: np.random.Generator, *, client: int) -> Arrays:
        """Return ``model``: nothing of it is private."""
        return model

    def check_head(self, head: Arrays) -> None:
        """Raise ``ProtocolError`` if there are private arrays."""
        check_layout(head, (), "the stored head has")

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
        import torch
        from torch.nn.functional import cross_entropy

        x, y = rows.x_train, rows.y_train
        check_rows(x, y, num_features=self.num_features, num_classes=self.num_classes)
        plan = steps_per_pass(len(x), self.batch_size, epochs=epochs, steps=steps)
        network = self._network
        network.load(arrays)
        model: nn.Module = network.whole
        inputs, targets = torch.tensor(x, device=network.device), torch.tensor(y, device=network.device)
        if first_trained >= self.num_backbone:  # a fixed function of the rows: computed once
            with torch.no_grad():
                inputs, model = torch.cat([network.backbone(part) for part in _parts(inputs)]), network.head
        trained, gradient = network.trained_from(first_trained)
        optimizer, backend = (
            self.new_optimizer(self.learning_rate, self.weight_decay),
            torch_backend(network.device.type),
        )
        recall(memory or NO_MEMORY, {"model": optimizer}, {"model": len(trained)}, backend)
        size, seen, loss = self.batch_size, 1, torch.zeros((), device=network.device)
        for batches in plan:
            order = torch.tensor(rng.permutation(len(y))[: batches * size], device=network.device)
            xs, ys = inputs[order], targets[order]
            seen, loss = len(order), torch.zeros_like(loss)
            for i in range(0, batches * size, size):
                batch = ys[i : i + size]
                batch_loss = cross_entropy(model(xs[i : i + size]), batch)
                loss += batch_loss.detach() * len(batch)
                if len(trained):
                    gradient.zero_()
                    batch_loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step(trained, gradient)
        remembered = NO_MEMORY if memory is None else memory_of({"model": optimizer}, backend)
        return network.arrays(), float(loss) / seen, remembered

    def _logits(self, arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        network = self._network
        network.load(arrays)
        with torch.inference_mode():
            parts = [network.whole(part).cpu() for part in _parts(torch.tensor(x, device=network.device))]
            logits: NDArray[np.float32] = torch.cat(parts).numpy()
        return logits

    @cached_property
    def _network(self) -> "_Network":
        require_torch(type(self).__name__)
        import torch
        from torch import nn

        device = torch.device(backend_for(self.device).device)
        with torch.device("meta"):  # without memory and random numbers of its own
            backbone, width = self._backbone()
            head = nn.Linear(width, self.num_classes)
        return _Network(backbone, head, device)


class _Network:
    """The modules of a task, with parameters and gradients as views of a flat vector each."""

    def __init__(self, backbone: "nn.Module", head: "nn.Module", device: "torch.device") -> None:
        import torch
        from torch import nn

        self.backbone, self.head, self.device = backbone, head, device
        self.whole = nn.Sequential(backbone, head)
        self.shapes = {name: tuple(p.shape) for name, p in self.whole.named_parameters()}
        self.offsets = list(accumulate((int(np.prod(shape)) for shape in self.shapes.values()), initial=0))
        self.flat, self.gradient = (torch.zeros(self.offsets[-1], device=device) for _ in range(2))
        views = dict(zip(self.shapes, self._views(self.flat), strict=True))
        self.whole.load_state_dict(views, assign=True)
        self.parameters = list(self.whole.parameters())
        for parameter, gradient in zip(self.parameters, self._views(self.gradient), strict=True):
            parameter.grad = gradient
        self.like = tuple(np.empty(shape, np.float32) for shape in self.shapes.values())

    def load(self, arrays: Arrays) -> None:
        """Let the modules have these arrays."""
        import torch

        flat = np.concatenate([a.ravel() for a in check_layout(arrays, self.like, "the model has")])
        self.flat.copy_(torch.from_numpy(flat))

    def arrays(self) -> Arrays:
        """Return a copy of what the modules have."""
        return tuple(self._views(self.flat.to("cpu", copy=True).numpy()))

    def trained_from(self, first: int) -> tuple["torch.Tensor", "torch.Tensor"]:
        """Return the vectors of the trained parameters, and of their gradients."""
        for number, parameter in enumerate(self.parameters):
            parameter.requires_grad_(number >= first)
        trained, gradient = (vector[self.offsets[first] :] for vector in (self.flat, self.gradient))
        return trained, gradient

    def _views(self, flat: Any) -> list[Any]:
        shapes = self.shapes.values()
        return [flat[i:j].reshape(shape) for (i, j), shape in zip(pairwise(self.offsets), shapes, strict=True)]


def _parts(x: "torch.Tensor") -> Iterator["torch.Tensor"]:
    return (x[i : i + ROWS_AT_ONCE] for i in range(0, len(x), ROWS_AT_ONCE))


def _initial(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    if name.endswith("positions"):
        return (POSITION_SCALE * rng.standard_normal(shape)).astype(np.float32)
    if len(shape) > 1:
        field = np.prod(shape[2:])  # pixels of a filter
        bound = np.sqrt(6 / ((shape[0] + shape[1]) * field))
        return rng.uniform(-bound, bound, shape).astype(np.float32)
    return (np.ones if name.endswith("weight") else np.zeros)(shape, np.float32)
