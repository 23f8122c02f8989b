"""Torch's own optimisers behind the interface of ours: over half a million parameters they take a third of the time."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from eafl_flower.tasks.optimizers import ADADELTA_CONSTANTS, OPTIMIZERS, WithOptimizer

_CALLED: Final = {
    "sgd": (),
    "adadelta": ("square_avg", "acc_delta"),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
    "rmsprop": ("square_avg",),
}
"""What torch calls the vectors that an optimiser remembers, in the order of ours."""


class TorchOptimizer:
    """An optimiser of torch over one vector of parameters; see ``optimizers.Optimizer``.

    The decay is decoupled with AdamW, an L2 penalty with the others.

    Parameters
    ----------
    settings
        Which optimiser, and its constants.
    parameters, gradient
        The vectors that each step is of.
    learning_rate, weight_decay
        Rate and decay.
    """

    def __init__(
        self, settings: WithOptimizer, parameters: Any, gradient: Any, learning_rate: float, weight_decay: float
    ) -> None:
        from torch import optim

        rho, epsilon = ADADELTA_CONSTANTS[settings.adadelta_constants]
        make: dict[str, Callable[..., Any]] = {
            "sgd": optim.SGD,
            "adamw": partial(optim.AdamW, fused=True),
            "adadelta": partial(optim.Adadelta, rho=rho, eps=epsilon),
            "adam": partial(optim.Adam, fused=True),
            "rmsprop": optim.RMSprop,
        }
        self.name = settings.optimizer
        self.remembers = OPTIMIZERS[self.name].remembers
        self.num_steps = 0
        self._parameters = parameters
        parameters.grad = gradient
        self._optimizer = make[self.name]([parameters], lr=learning_rate, weight_decay=weight_decay)

    @property
    def vectors(self) -> tuple[Any, ...]:
        """What it remembers; nothing before the first step."""
        state = self._optimizer.state[self._parameters]
        return tuple(state[key] for key in _CALLED[self.name] if key in state)

    @vectors.setter
    def vectors(self, vectors: tuple[Any, ...]) -> None:
        import torch

        state = dict(zip(_CALLED[self.name], vectors, strict=True))
        if state:
            steps = torch.tensor(float(self.num_steps), dtype=torch.float32, device=self._parameters.device)
            self._optimizer.state[self._parameters] = {"step": steps, **state}

    def step(self, parameters: Any, gradient: Any) -> None:
        """Update ``parameters``, which with ``gradient`` are those that it was made for."""
        self._optimizer.step()
        self.num_steps += 1
