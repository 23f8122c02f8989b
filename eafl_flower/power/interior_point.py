r"""Convex problems by a primal-dual interior-point method with dense matrices.

.. math:: \min_x f(x) \quad \text{s.t.} \quad g_i(x) \le 0, \quad l \le x \le u

Newton's method on the optimality conditions of :math:`g_i(x) + s_i = 0`, :math:`s_i > 0`, whose complementarity is
relaxed to :math:`\lambda_i s_i = \mu`; :math:`\mu` falls with the gap. Points are strictly within the bounds, but
constraints hold at the end only, as steps that had to keep them would be several times shorter. A step factors one
n x n matrix and is halved until the residual falls.

Nocedal and Wright, "Numerical Optimization", 2006, chapter 19.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

Array = NDArray[np.float64]
_TO_THE_BOUNDARY, _LEAST_STEP, _LEAST_SLACK = 0.99, 1e-8, 1e-3


class Point(Protocol):
    """Values of a program at one x; derivatives when they are asked for."""

    @property
    def objective(self) -> float:
        """Value of the objective."""

    @property
    def constraints(self) -> Array:
        """Values of the constraints ``(m,)``; infinite where one is not defined."""

    def gradients(self) -> tuple[Array, Array]:
        """Return the gradient of the objective ``(n,)`` and the Jacobian of the constraints ``(m, n)``."""

    def hessian(self, multipliers: Array) -> Array:
        """Return the Hessian of the Lagrangian ``(n, n)``."""


class Program(Protocol):
    """A convex problem; all bounds ``(n,)`` are finite."""

    @property
    def lower(self) -> Array:
        """Lower bounds."""

    @property
    def upper(self) -> Array:
        """Upper bounds."""

    def at(self, x: Array) -> Point:
        """Return the values at ``x``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Minimum:
    r"""Where the method ended.

    Parameters
    ----------
    x
        Strictly within the bounds.
    residual
        The largest of: a component of the Lagrangian's gradient, a constraint's :math:`|g_i + s_i|`, and the duality
        gap :math:`\sum_i \lambda_i s_i` over constraints and bounds. If the first two are zero, the objective is within
        the gap of the least.
    converged
        Whether ``residual`` is at most the tolerance.
    iterations
        Steps taken.
    """

    x: Array
    residual: float
    converged: bool
    iterations: int


def minimise(program: Program, start: Array, *, tolerance: float = 1e-8, most_iterations: int = 100) -> Minimum:
    """Minimise a convex program from ``start``, which lies strictly within the bounds.

    Raises
    ------
    ValueError
        If it does not.
    """
    point = program.at(start)
    slacks = np.concatenate(
        [np.maximum(-point.constraints, _LEAST_SLACK), start - program.lower, program.upper - start]
    )
    if not (slacks > 0).all():
        raise ValueError(f"the start is at or beyond {np.count_nonzero(~(slacks > 0))} bounds")
    # multipliers of a barrier that weighs a tenth of the objective
    here = _Iterate.of(start, point, slacks, max(abs(point.objective), 1e-3) / (10 * len(slacks)) / slacks)
    for iteration in range(most_iterations):
        there = None if here.residual <= tolerance else here.stepped(program)
        if there is None:
            return Minimum(x=here.x, residual=here.residual, converged=here.residual <= tolerance, iterations=iteration)
        here = there
    converged = here.residual <= tolerance
    return Minimum(x=here.x, residual=here.residual, converged=converged, iterations=most_iterations)


@dataclass(frozen=True, eq=False, slots=True)
class _Iterate:
    """A point with multipliers; slacks and multipliers are those of constraints, of lower, then of upper bounds."""

    x: Array
    point: Point
    slacks: Array
    multipliers: Array
    gradient: Array
    jacobian: Array
    lagrangian: Array  # its gradient
    excess: Array  # of constraints over what their slacks leave

    @classmethod
    def of(cls, x: Array, point: Point, slacks: Array, multipliers: Array) -> "_Iterate":
        gradient, jacobian = point.gradients()
        excess = point.constraints + slacks[: len(point.constraints)]
        return cls(x, point, slacks, multipliers, gradient, jacobian, gradient + _pulled(jacobian, multipliers), excess)

    @property
    def gap(self) -> float:
        return float(self.multipliers @ self.slacks)

    @property
    def residual(self) -> float:
        return max(float(np.abs(self.lagrangian).max()), float(np.abs(self.excess).max(initial=0.0)), self.gap)

    def distance(self, centre: float) -> float:
        """Norm of the relaxed optimality conditions."""
        parts = (self.lagrangian, self.excess, self.multipliers * self.slacks - centre)
        return float(np.linalg.norm([np.linalg.norm(part) for part in parts]))

    def stepped(self, program: Program) -> "_Iterate | None":
        """Return the next iterate, or None if no step makes the residual smaller."""
        m, n = len(self.point.constraints), len(self.x)
        stiffness = self.multipliers / self.slacks
        matrix = self.point.hessian(self.multipliers[:m])
        matrix += self.jacobian.T @ (stiffness[:m, None] * self.jacobian)
        matrix[np.diag_indices(n)] += stiffness[m : m + n] + stiffness[m + n :]
        try:
            factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            return None
        centre = 0.1 * self.gap / len(self.slacks)
        aim = centre / self.slacks
        push = aim.copy()
        push[:m] += stiffness[:m] * self.excess
        step = cho_solve(factor, -(self.gradient + _pulled(self.jacobian, push)), check_finite=False)
        slack_step = -np.concatenate([self.excess + self.jacobian @ step, -step, step])
        multiplier_step = aim - self.multipliers - stiffness * slack_step
        length = min(_reach(self.multipliers, multiplier_step), _reach(self.slacks, slack_step))
        before = self.distance(centre)
        while length > _LEAST_STEP:
            x = np.clip(self.x + length * step, program.lower, program.upper)
            point = program.at(x)
            slacks = self.slacks + length * slack_step
            if np.isfinite(point.constraints).all():
                there = _Iterate.of(x, point, slacks, self.multipliers + length * multiplier_step)
                if there.distance(centre) <= (1 - 0.01 * length) * before:
                    return there
            length /= 2
        return None


def _pulled(jacobian: Array, multipliers: Array) -> Array:
    """Return the part of constraints and bounds in the gradient of the Lagrangian."""
    m, n = jacobian.shape
    pull: Array = multipliers[:m] @ jacobian - multipliers[m : m + n] + multipliers[m + n :]
    return pull


def _reach(values: Array, steps: Array) -> float:
    """Return the longest step, at most 1, that keeps ``values`` positive."""
    falling = steps < 0
    return min(1.0, float((_TO_THE_BOUNDARY * values[falling] / -steps[falling]).min(initial=np.inf)))
