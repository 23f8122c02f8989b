"""Powers that weigh energy against latency: `problem`, solved in log power to its global optimum.

Two solvers reach the same point. ``"slsqp"`` is SciPy's sequential quadratic programming with BFGS updates.
``"interior-point"`` linearises the same conditions with exact second derivatives, and is fast for hundreds of users.

Nocedal and Wright, "Numerical Optimization", 2006, chapters 18 and 19; Kraft, "A software package for sequential
quadratic programming", DFVLR-FB 88-28, 1988.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from eafl_flower.errors import InfeasibleError, RunFailedError
from eafl_flower.power.allocation import Allocation
from eafl_flower.power.interior_point import minimise
from eafl_flower.power.min_max import min_max_latency
from eafl_flower.power.optimality import kkt_residual
from eafl_flower.power.problem import TO_SPARE, Budgets, LogProgram, Weighing, WeightedProblem
from eafl_flower.power.uploads import Uploads
from eafl_flower.radio.gains import rates_bit_s

Array = NDArray[np.float64]
Solver = Literal["interior-point", "slsqp"]
TOLERANCES: dict[Solver, float] = {"interior-point": 1e-8, "slsqp": 1e-3}
_MARGIN = 0.05  # in log power: where the interior-point method starts from powers at a bound
_ON_THE_EDGE = 10 * TO_SPARE  # a budget that is larger than the least possible by less cannot be told from it


def weighted_problem(uploads: Uploads, weighing: Weighing, budgets: Budgets | None = None) -> WeightedProblem:
    """Return the problem whose units of energy and latency are their values at the powers of least latency."""
    return _problem(uploads, weighing, budgets or Budgets(), min_max_latency(uploads).power)


def _problem(uploads: Uploads, weighing: Weighing, budgets: Budgets, quickest: Array) -> WeightedProblem:
    plain = WeightedProblem(uploads=uploads, weighing=weighing, budgets=budgets, energy_ref_j=1.0, latency_ref_s=1.0)
    return replace(plain, energy_ref_j=plain.energy_j(quickest), latency_ref_s=plain.latency_s(quickest))


def weighted_powers(
    uploads: Uploads,
    weighing: Weighing | None = None,
    budgets: Budgets | None = None,
    *,
    solver: Solver = "interior-point",
    warm_start: Array | None = None,
    tolerance: float | None = None,
    most_iterations: int = 300,
) -> Allocation:
    r"""Minimise the weighted sum of energy and latency of one drop.

    The solver starts from the powers of least latency, or from ``warm_start`` if that is feasible and better. Its
    answer is taken if it is in the budgets and not worse than the start; otherwise the powers are those of the start.

    Parameters
    ----------
    uploads
        Users of one drop.
    weighing
        Weights and bounds.
    budgets
        Hard limits.
    solver
        Which of the two.
    warm_start
        Power coefficients, as of the round before, ``(num_users,)``.
    tolerance
        The largest residual that counts as converged; by default that of ``TOLERANCES``.
    most_iterations
        Steps of the solver.

    Returns
    -------
    Allocation
        ``objective``: the weighted sum, 1 at the powers of least latency. ``kkt_residual``: what is left of the
        optimality conditions in log power (`Minimum.residual`, or `kkt_residual` for SLSQP), dimensionless.

    Raises
    ------
    InfeasibleError
        If no powers are within the budgets.
    RunFailedError
        If whether there are any could not be found out.
    """
    weighing, budgets = weighing or Weighing(), budgets or Budgets()
    tolerance = TOLERANCES[solver] if tolerance is None else tolerance
    quickest = min_max_latency(uploads).power
    problem = _problem(uploads, weighing, budgets, quickest)
    start = np.clip(quickest, weighing.least_power, 1.0)
    if warm_start is not None:
        warm = np.clip(np.asarray(warm_start, np.float64), weighing.least_power, 1.0)
        if problem.within_budgets(warm) and problem.objective(warm) < problem.objective(start):
            start = warm
    program = LogProgram(problem)
    if not problem.within_budgets(start):
        start = np.exp(_within(problem, quickest))
    at_start = program.begin(np.log(start), 0.0)
    if weighing.energy_weight == 0.0 and (residual := kkt_residual(program, at_start)) <= tolerance:
        power, iterations = start, 0  # the powers of least latency were what is asked for
    elif solver == "interior-point":
        inside = program.begin(np.log(start), _MARGIN)
        found = minimise(program, inside, tolerance=tolerance, most_iterations=most_iterations)
        power, residual, iterations = np.exp(found.x[: program.num_users]), found.residual, found.iterations
    else:
        x, iterations = _slsqp(program, at_start, most_iterations)
        power, residual = np.exp(x[: program.num_users]), kkt_residual(program, x)
    if not (problem.within_budgets(power) and problem.objective(power) <= problem.objective(start)):
        power, residual = start, kkt_residual(program, at_start)
    return Allocation(
        method=f"weighted powers by {solver}",
        power=power,
        rate_bit_s=rates_bit_s(uploads.gains, power),
        objective=problem.objective(power),
        kkt_residual=residual,
        converged=residual <= tolerance,
        iterations=iterations,
        starved_fraction=float(np.mean(power <= weighing.least_power * (1 + 1e-6))),
    )


def _slsqp(program: LogProgram, start: Array, most_iterations: int) -> tuple[Array, int]:
    constraints = {
        "type": "ineq",
        "fun": lambda x: -program.at(x).constraints,
        "jac": lambda x: -program.at(x).gradients()[1],
    }
    found = minimize(
        lambda x: program.at(x).objective,
        start,
        jac=lambda x: program.at(x).gradients()[0],
        bounds=np.stack([program.lower, program.upper], axis=1),
        constraints=[constraints] if program.has_constraints else [],
        method="SLSQP",
        options={"ftol": 1e-10, "maxiter": most_iterations},
    )
    return np.clip(found.x, program.lower, program.upper), int(found.nit)


def _within(problem: WeightedProblem, quickest: Array) -> Array:
    """Return log powers within the budgets, or say what is possible."""
    budgets, log_power = problem.budgets, np.log(quickest)
    floor = f" at coefficients of at least {problem.weighing.least_power:g}"
    if budgets.latency_s < np.inf:
        latency_s = float(problem.uploads.latencies_s(quickest).max())
        if quickest.min() < problem.weighing.least_power:  # what is allowed is slower
            goal = budgets.latency_s
            log_power, latency_s = _least(problem, log_power, energy_weight=0.0, budgets=Budgets(), goal=goal)
        if latency_s >= budgets.latency_s * (1 - _ON_THE_EDGE):
            msg = (
                f"the latency budget is {budgets.latency_s:.6g} s, but the slowest user needs at least {latency_s:.6g} "
                f"s{floor}: send less, or allow more"
            )
            raise InfeasibleError(msg)
    if budgets.energy_j < np.inf:
        only_time = Budgets(latency_s=budgets.latency_s)
        log_power, energy_j = _least(problem, log_power, energy_weight=1.0, budgets=only_time, goal=budgets.energy_j)
        if energy_j >= budgets.energy_j * (1 - _ON_THE_EDGE):
            within = f" within {budgets.latency_s:.6g} s" if budgets.latency_s < np.inf else ""
            msg = (
                f"the energy budget is {budgets.energy_j:.6g} J, but the uploads{within} need at least {energy_j:.6g} "
                f"J{floor}: send less, or allow more"
            )
            raise InfeasibleError(msg)
    return log_power


def _least(
    problem: WeightedProblem, log_power: Array, *, energy_weight: float, budgets: Budgets, goal: float
) -> tuple[Array, float]:
    """Return log powers within ``budgets`` of a latency [s] or energy [J] below ``goal``, or the least there is."""
    weighing = replace(problem.weighing, energy_weight=energy_weight, latency="max")
    alone = replace(problem, weighing=weighing, budgets=budgets)
    program = LogProgram(alone)
    for tolerance in (1e-3, 1e-9):  # the first is farther from bounds and budgets, a better start for what follows
        found = minimise(program, program.begin(log_power, _MARGIN), tolerance=tolerance, most_iterations=300)
        log_power = found.x[: program.num_users]
        power = np.exp(log_power)
        value = alone.latency_s(power) if energy_weight == 0 else alone.energy_j(power)
        if value < goal * (1 - _ON_THE_EDGE) and alone.within_budgets(power):
            return log_power, value
    if not found.converged:
        what = "latency" if energy_weight == 0 else "energy"
        msg = f"whether budgets can be met is open: the least {what} was found to {found.residual:.2g} only"
        raise RunFailedError(msg)
    return log_power, value
