"""Optimisers of torch, by name, over one flat vector of parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

ADADELTA_CONSTANTS: Final = {"keras": (0.95, 1e-7), "pytorch": (0.9, 1e-6)}
"""Decay rho and epsilon of AdaDelta, by the library whose defaults they are."""


@dataclass(frozen=True, kw_only=True)
class TorchOptimizers:
    """Settings of a task that trains by an optimiser of torch, fresh in every job.

    Parameters
    ----------
    optimizer
        ``"sgd"``, ``"adamw"``, ``"adadelta"``, ``"adam"`` or ``"rmsprop"``. The learning rate is the task's own; the
        usual one is 1 for AdaDelta, 0.001 for Adam, AdamW and RMSProp.
    adadelta_constants
        Of AdaDelta: ``"keras"`` (rho 0.95, epsilon 1e-7) or ``"pytorch"`` (rho 0.9, epsilon 1e-6).
    """

    optimizer: Literal["sgd", "adamw", "adadelta", "adam", "rmsprop"] = "sgd"
    adadelta_constants: Literal["keras", "pytorch"] = "keras"

    @property
    def constants_problem(self) -> str:
        """What is wrong with ``adadelta_constants``, in words, unless nothing is."""
        if self.optimizer == "adadelta" or self.adadelta_constants == "keras":
            return ""
        return f'belongs to optimizer = "adadelta" (usual learning rate: 1), and that is "{self.optimizer}"'

    def new_optimizer(self, parameters: Any, *, learning_rate: float, weight_decay: float) -> Any:
        """Return the optimiser over a vector of parameters whose ``grad`` is their gradient; it remembers nothing yet.

        The decay is decoupled with AdamW, an L2 penalty with the others.
        """
        from torch import optim

        rho, epsilon = ADADELTA_CONSTANTS[self.adadelta_constants]
        make: dict[str, Callable[..., Any]] = {
            "sgd": optim.SGD,
            "adamw": partial(optim.AdamW, fused=True),
            "adadelta": partial(optim.Adadelta, rho=rho, eps=epsilon),
            "adam": partial(optim.Adam, fused=True),
            "rmsprop": optim.RMSprop,
        }
        return make[self.optimizer]([parameters], lr=learning_rate, weight_decay=weight_decay)
