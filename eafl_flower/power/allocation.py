"""What an allocation of powers is: powers, rates, and a certificate of how good it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import RunFailedError

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Allocation:
    """Powers of users that upload together, and how well they solve the problem they are the answer to.

    Parameters
    ----------
    method
        What it is the answer of.
    power
        Power coefficients, from 0 to 1, ``(..., num_users)``.
    rate_bit_s
        Rates at these powers [bit/s], ``(..., num_users)``.
    objective
        What the method makes small or large, as its docstring says, ``(...)``.
    kkt_residual
        Certificate, ``(...)``: what is left of the optimality conditions at ``power``, as the method's docstring says.
    converged
        Whether the residual is below the method's tolerance, ``(...)``.
    iterations
        Steps of the solver, over all starts.
    starved_fraction
        Share of users at the least power that the method allows.
    """

    method: str
    power: Array
    rate_bit_s: Array
    objective: float | Array
    kkt_residual: float | Array
    converged: bool | NDArray[np.bool_]
    iterations: int
    starved_fraction: float = 0.0

    def certified(self) -> "Allocation":
        """Return the allocation itself.

        Raises
        ------
        RunFailedError
            If it has not converged.
        """
        if not np.all(self.converged):
            msg = (
                f"{self.method} has not converged after {self.iterations} iterations (residual "
                f"{np.max(self.kkt_residual):.2g}): its powers are feasible, not optimal; allow more iterations or "
                "another tolerance"
            )
            raise RunFailedError(msg)
        return self
