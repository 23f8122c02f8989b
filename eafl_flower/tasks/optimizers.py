"""Optimisers over one flat parameter vector (numpy or torch): few operations a step, however many layers."""

from typing import Any, Protocol


class Optimizer(Protocol):
    """Changes parameters by their gradient."""

    def step(self, parameters: Any, gradient: Any) -> None:
        """Update ``parameters`` in place; ``gradient`` may be overwritten."""


class SGD:
    """Stochastic gradient descent with an L2 penalty, as ``torch.optim.SGD`` without momentum."""

    def __init__(self, learning_rate: float, weight_decay: float) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    def step(self, parameters: Any, gradient: Any) -> None:
        """Update ``parameters`` in place."""
        if self.weight_decay:
            gradient += self.weight_decay * parameters
        gradient *= self.learning_rate
        parameters -= gradient


class AdamW:
    """Adam with decoupled weight decay, as ``torch.optim.AdamW`` with its default moments.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, learning_rate: float, weight_decay: float) -> None:
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.num_steps = 0
        self.mean: Any = None
        self.square: Any = None

    def step(self, parameters: Any, gradient: Any) -> None:
        """Update ``parameters`` in place."""
        if self.num_steps == 0:
            self.mean, self.square = 0 * gradient, 0 * gradient
        self.num_steps += 1
        self.mean *= self.beta1
        self.mean += (1 - self.beta1) * gradient
        gradient *= gradient
        gradient *= 1 - self.beta2
        self.square *= self.beta2
        self.square += gradient
        # parameters -= rate * (mean / c1) / (sqrt(square / c2) + epsilon), with fewer temporaries
        c1, c2 = 1 - self.beta1**self.num_steps, 1 - self.beta2**self.num_steps
        scale = self.square**0.5
        scale *= c1 / (self.learning_rate * c2**0.5)
        scale += self.epsilon * c1 / self.learning_rate
        if self.weight_decay:
            parameters *= 1 - self.learning_rate * self.weight_decay
        parameters -= self.mean / scale
