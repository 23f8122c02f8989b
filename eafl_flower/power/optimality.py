"""How far a point is from optimal, whatever has found it."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from eafl_flower.power.interior_point import Program

Array = NDArray[np.float64]


def kkt_residual(program: Program, x: Array) -> float:
    r"""Return the largest violation of the optimality conditions at ``x``, with the multipliers that suit it best.

    .. math:: \min_{\lambda \ge 0} \; \Bigl\| \nabla f + \sum_i \lambda_i \nabla g_i \Bigr\|^2
              + \sum_i (\lambda_i g_i)^2

    over constraints and bounds. The residual is the largest component of both parts, or the largest violated
    constraint. For a convex program a residual of 0 proves the optimum.
    """
    point = program.at(x)
    gradient, jacobian = point.gradients()
    identity = np.eye(len(x))
    normals = np.concatenate([jacobian, -identity, identity])
    values = np.concatenate([point.constraints, program.lower - x, x - program.upper])
    matrix = np.concatenate([normals.T, np.diag(values)])
    right = np.concatenate([-gradient, np.zeros(len(values))])
    multipliers, _ = nnls(matrix, right, maxiter=30 * len(values))
    left = np.abs(matrix @ multipliers - right).max()
    return float(max(left, values.max()))
