"""Optimisers over one flat parameter vector (numpy or torch): few operations a step, however many layers."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Protocol

ADADELTA_CONSTANTS: Final = {"keras": (0.95, 1e-7), "pytorch": (0.9, 1e-6)}
"""Decay rho and epsilon of AdaDelta, by the library whose defaults they are."""


@dataclass(frozen=True, kw_only=True)
class WithOptimizer:
    """Settings of a task that trains by one of ``OPTIMIZERS``.

    Parameters
    ----------
    optimizer
        ``"sgd"``, ``"adamw"``, ``"adadelta"``, ``"adam"`` or ``"rmsprop"``. The learning rate is the task's own; the
        usual one is 1 for AdaDelta, 0.001 for Adam, AdamW and RMSProp.
    adadelta_constants
        Of AdaDelta: ``"keras"`` (rho 0.95, epsilon 1e-7) or ``"pytorch"`` (rho 0.9, epsilon 1e-6).
    optimizer_state
        ``"reset"``: each job begins afresh; ``"kept"``: what the optimiser remembers stays on the client between its
        jobs.
    """

    optimizer: Literal["sgd", "adamw", "adadelta", "adam", "rmsprop"] = "sgd"
    adadelta_constants: Literal["keras", "pytorch"] = "keras"
    optimizer_state: Literal["reset", "kept"] = "reset"

    @property
    def constants_problem(self) -> str:
        """What is wrong with ``adadelta_constants``, in words, unless nothing is."""
        if self.optimizer == "adadelta" or self.adadelta_constants == "keras":
            return ""
        return f'belongs to optimizer = "adadelta" (usual learning rate: 1), and that is "{self.optimizer}"'

    @property
    def keeps_memory(self) -> bool:
        """Whether what the optimiser remembers stays on the client between its jobs."""
        return self.optimizer_state == "kept"

    def new_optimizer(self, learning_rate: float, weight_decay: float) -> "Optimizer":
        """Return the optimiser of the settings, which remembers nothing yet."""
        if self.optimizer == "adadelta":
            return AdaDelta(learning_rate, weight_decay, *ADADELTA_CONSTANTS[self.adadelta_constants])
        return OPTIMIZERS[self.optimizer](learning_rate, weight_decay)


class Optimizer(Protocol):
    """Changes parameters by their gradient.

    Attributes
    ----------
    name
        What ``OPTIMIZERS`` calls it.
    remembers
        Names of the vectors that it remembers, each as long as the parameters.
    vectors
        These vectors; none before the first step.
    num_steps
        Steps made.
    """

    name: ClassVar[str]
    remembers: ClassVar[tuple[str, ...]]
    vectors: tuple[Any, ...]
    num_steps: int

    def step(self, parameters: Any, gradient: Any) -> None:
        """Update ``parameters`` in place; ``gradient`` may be overwritten."""


class _ByGradient:
    """What all have in common: rate, decay, and vectors that begin as zeros."""

    name: ClassVar[str]
    remembers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, learning_rate: float, weight_decay: float) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.vectors: tuple[Any, ...] = ()
        self.num_steps = 0

    def _begin(self, parameters: Any, gradient: Any) -> None:
        """Count the step, remember zeros before the first one, and let weights decay."""
        if self.num_steps == 0:
            self.vectors = tuple(0 * gradient for _ in self.remembers)
        self.num_steps += 1
        if self.weight_decay:
            self._decay(parameters, gradient)

    def _decay(self, parameters: Any, gradient: Any) -> None:
        gradient += self.weight_decay * parameters


class SGD(_ByGradient):
    """Stochastic gradient descent with an L2 penalty, as ``torch.optim.SGD`` without momentum."""

    name = "sgd"

    def step(self, parameters: Any, gradient: Any) -> None:
        """Update ``parameters`` in place."""
        self._begin(parameters, gradient)
        gradient *= self.learning_rate
        parameters -= gradient


class AdaDelta(_ByGradient):
    r"""AdaDelta with an L2 penalty, as ``torch.optim.Adadelta``.

    .. math::
        G \leftarrow \rho G + (1-\rho)\,g^2, \quad
        u = -\sqrt{\frac{U + \epsilon}{G + \epsilon}}\; g, \quad
        U \leftarrow \rho U + (1-\rho)\,u^2, \quad
        \theta \leftarrow \theta + \eta\,u

    element by element, with :math:`G = U = 0` before the first step.

    Parameters
    ----------
    learning_rate, weight_decay
        The rate :math:`\eta`, usually 1, and the penalty.
    rho, epsilon
        See ``ADADELTA_CONSTANTS``.

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701, 2012, algorithm 1.
    """

    name = "adadelta"
    remembers: ClassVar[tuple[str, ...]] = ("square", "change")

    def __init__(self, learning_rate: float, weight_decay: float, rho: float = 0.95, epsilon: float = 1e-7) -> None:
        super().__init__(learning_rate, weight_decay)
        self.rho, self.epsilon = rho, epsilon

    def step(self, parameters: Any, gradient: Any) -> None:
        """Update ``parameters`` in place."""
        self._begin(parameters, gradient)
        square, change = self.vectors
        square *= self.rho
        square += (1 - self.rho) * gradient * gradient
        scale = change + self.epsilon
        scale /= square + self.epsilon
        gradient *= scale**0.5
        change *= self.rho
        change += (1 - self.rho) * gradient * gradient
        gradient *= self.learning_rate
        parameters -= gradient


class Adam(_ByGradient):
    """Adam with an L2 penalty, as ``torch.optim.Adam`` with its default moments.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    """

    name = "adam"
    remembers: ClassVar[tuple[str, ...]] = ("mean", "square")
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def step(self, parameters: Any, gradient: Any) -> None:
        """Update ``parameters`` in place."""
        self._begin(parameters, gradient)
        mean, square = self.vectors
        mean *= self.beta1
        mean += (1 - self.beta1) * gradient
        gradient *= gradient
        gradient *= 1 - self.beta2
        square *= self.beta2
        square += gradient
        # parameters -= rate * (mean / c1) / (sqrt(square / c2) + epsilon), with fewer temporaries
        c1, c2 = 1 - self.beta1**self.num_steps, 1 - self.beta2**self.num_steps
        scale = square**0.5
        scale *= c1 / (self.learning_rate * c2**0.5)
        scale += self.epsilon * c1 / self.learning_rate
        parameters -= mean / scale


class AdamW(Adam):
    """Adam with decoupled weight decay, as ``torch.optim.AdamW`` with its default moments.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    name = "adamw"

    def _decay(self, parameters: Any, gradient: Any) -> None:
        parameters *= 1 - self.learning_rate * self.weight_decay


class RMSProp(_ByGradient):
    """RMSProp with an L2 penalty, as ``torch.optim.RMSprop`` with its default decay, without momentum.

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5: rmsprop", COURSERA: Neural networks for machine learning, 2012.
    """

    name = "rmsprop"
    remembers: ClassVar[tuple[str, ...]] = ("square",)
    decay, epsilon = 0.99, 1e-8

    def step(self, parameters: Any, gradient: Any) -> None:
        """Update ``parameters`` in place."""
        self._begin(parameters, gradient)
        (square,) = self.vectors
        square *= self.decay
        square += (1 - self.decay) * gradient * gradient
        scale = square**0.5
        scale += self.epsilon
        gradient /= scale
        gradient *= self.learning_rate
        parameters -= gradient


OPTIMIZERS: Final[dict[str, type[SGD | AdamW | AdaDelta | Adam | RMSProp]]] = {
    kind.name: kind for kind in (SGD, AdamW, AdaDelta, Adam, RMSProp)
}
