import numpy as np
import pytest
from cell_free_drops import uploads_of_drops
from scipy.optimize import nnls

from eafl_flower.errors import ConfigError, InfeasibleError, RunFailedError
from eafl_flower.power import Budgets, Weighing, min_max_latency, weighted_powers, weighted_problem
from eafl_flower.power.problem import LogProgram

UPLOADS = uploads_of_drops(20, 20, seed=1)
COMPUTING = uploads_of_drops(20, 20, seed=1, computation_s=np.linspace(0.0, 0.1, 20))
FEW = uploads_of_drops(3, 6, seed=2, payload_bits=np.linspace(2e5, 2e6, 6), computation_s=0.02)


def central(function, log_power, step=1e-5):
    """Return the derivatives of ``function`` by log power, one row for each of them."""
    return np.stack(
        [
            (function(np.exp(log_power + step * e)) - function(np.exp(log_power - step * e))) / (2 * step)
            for e in np.eye(len(log_power))
        ]
    )


def optimality(problem, power):
    """What is left of the conditions of the problem with a maximum, from central differences of energies and latencies.

    The gradient of the objective, with some mixture of the users' latencies for their maximum, is balanced by bounds;
    whoever has a share in the mixture is last, whoever a multiplier of a bound is at it.
    """
    theta, log_power, users = problem.weighing.energy_weight, np.log(power), len(power)
    energy = theta * central(problem.energy_j, log_power) / problem.energy_ref_j
    latencies = problem.uploads.latencies_s(power) / problem.latency_ref_s
    slopes = (1 - theta) * central(problem.uploads.latencies_s, log_power) / problem.latency_ref_s
    identity = np.eye(users)
    floor = np.log(problem.weighing.least_power)
    away = np.diag(np.concatenate([latencies.max() - latencies, -log_power, log_power - floor]))
    mixture = np.concatenate([np.ones(users), np.zeros(2 * users)])[None]
    matrix = np.concatenate([np.concatenate([slopes, identity, -identity], axis=1), away, mixture])
    right = np.concatenate([-energy, np.zeros(3 * users), [1.0]])
    multipliers, _ = nnls(matrix, right, maxiter=10_000)
    return np.abs(matrix @ multipliers - right).max()


@pytest.mark.parametrize("latency", ["max", "sum"])
@pytest.mark.parametrize("budgets", [Budgets(), Budgets(energy_j=0.01), Budgets(energy_j=0.01, latency_s=0.3)])
def test_derivatives_are_central_differences(latency, budgets):
    program = LogProgram(weighted_problem(FEW.drop(0), Weighing(latency=latency), budgets))
    rng, step = np.random.default_rng(3), 1e-5
    x = program.begin(np.log(rng.uniform(0.01, 0.9, 6)), 0.05)
    gradient, jacobian = program.at(x).gradients()
    multipliers = rng.uniform(0, 1, len(jacobian))

    def lagrangian(x):
        gradient, jacobian = program.at(x).gradients()
        return gradient + multipliers @ jacobian

    axes = step * np.eye(len(x))
    slopes = [(program.at(x + e).objective - program.at(x - e).objective) / (2 * step) for e in axes]
    normals = [(program.at(x + e).constraints - program.at(x - e).constraints) / (2 * step) for e in axes]
    bends = [(lagrangian(x + e) - lagrangian(x - e)) / (2 * step) for e in axes]
    np.testing.assert_allclose(gradient, slopes, atol=1e-8)
    np.testing.assert_allclose(jacobian, np.stack(normals, axis=-1), atol=1e-8)
    hessian = program.at(x).hessian(multipliers)
    np.testing.assert_allclose(hessian, bends, atol=1e-8 * np.abs(hessian).max())
    assert np.linalg.eigvalsh(hessian).min() >= -1e-9 * np.abs(hessian).max()  # it is convex


@pytest.mark.parametrize("uploads", [UPLOADS, COMPUTING], ids=["sending", "computing"])
@pytest.mark.parametrize("energy_weight", [0.1, 0.5, 0.9])
def test_the_answer_satisfies_the_optimality_conditions(uploads, energy_weight):
    weighing = Weighing(energy_weight=energy_weight)
    for i in range(3):
        problem = weighted_problem(uploads.drop(i), weighing)
        found = weighted_powers(uploads.drop(i), weighing).certified()
        assert found.kkt_residual <= 1e-8
        assert optimality(problem, found.power) < 1e-6  # central differences are good for 1e-8
        assert weighing.least_power <= found.power.min()
        assert found.power.max() <= 1


def test_a_sum_of_latencies_is_stationary_but_for_bounds():
    weighing = Weighing(latency="sum")
    for i in range(3):
        problem, found = weighted_problem(UPLOADS.drop(i), weighing), weighted_powers(UPLOADS.drop(i), weighing)
        log_power = np.log(found.certified().power)
        gradient = central(problem.objective, log_power)
        moved = np.clip(log_power - gradient, np.log(weighing.least_power), 0.0) - log_power
        assert np.abs(moved).max() < 1e-6


def test_both_solvers_find_the_same():
    for budgets in (Budgets(), Budgets(energy_j=0.006), Budgets(latency_s=0.05)):
        for i in range(2):
            ours = weighted_powers(UPLOADS.drop(i), budgets=budgets).certified()
            theirs = weighted_powers(UPLOADS.drop(i), budgets=budgets, solver="slsqp").certified()
            assert theirs.objective == pytest.approx(ours.objective, rel=1e-6)


def test_it_is_never_worse_than_the_quickest_and_beats_it_nearly_always():
    better = 0
    for i in range(20):
        uploads = UPLOADS.drop(i)
        problem, found = weighted_problem(uploads, Weighing()), weighted_powers(uploads).certified()
        quickest = min_max_latency(uploads)
        start = problem.objective(np.clip(quickest.power, 1e-4, 1.0))
        assert found.objective <= start
        assert uploads.latencies_s(found.power).max() >= quickest.objective * (1 - 1e-9)
        better += found.objective < 0.99 * start
    assert better >= 18


def test_all_weight_on_latency_is_the_quickest_and_all_on_energy_the_cheapest():
    uploads = FEW.drop(1)
    quickest = weighted_powers(uploads, Weighing(energy_weight=0.0)).certified()
    assert quickest.objective == pytest.approx(1.0, rel=1e-6)
    cheapest = weighted_powers(uploads, Weighing(energy_weight=1.0)).certified()
    rng = np.random.default_rng(4)
    for _ in range(200):
        power = np.exp(rng.uniform(np.log(1e-4), 0.0, 6))
        assert uploads.energies_j(power).sum() >= uploads.energies_j(cheapest.power).sum()


def test_the_more_energy_weighs_the_less_is_used_and_the_longer_it_takes():
    for i in range(3):
        problem = weighted_problem(UPLOADS.drop(i), Weighing())
        powers = [
            weighted_powers(UPLOADS.drop(i), Weighing(energy_weight=theta)).certified().power
            for theta in (0.1, 0.3, 0.5, 0.7, 0.9)
        ]
        energies, latencies = [problem.energy_j(p) for p in powers], [problem.latency_s(p) for p in powers]
        assert energies == sorted(energies, reverse=True)
        assert latencies == sorted(latencies)


def test_a_budget_binds_where_it_is_smaller_than_what_would_be_spent():
    uploads = UPLOADS.drop(3)
    free, problem = weighted_powers(uploads), weighted_problem(uploads, Weighing())
    energy_j, latency_s = problem.energy_j(free.power), problem.latency_s(free.power)
    for budgets in (Budgets(energy_j=0.8 * energy_j), Budgets(latency_s=0.95 * latency_s)):
        found = weighted_powers(uploads, budgets=budgets).certified()
        spent = problem.energy_j(found.power) / budgets.energy_j, problem.latency_s(found.power) / budgets.latency_s
        assert max(spent) <= 1
        assert max(spent) == pytest.approx(1.0, abs=1e-5)
        assert found.objective > free.objective
    loose = weighted_powers(uploads, budgets=Budgets(energy_j=2 * energy_j, latency_s=2 * latency_s)).certified()
    assert loose.objective == pytest.approx(free.objective, rel=1e-7)


@pytest.mark.parametrize("latency", ["max", "sum"])
def test_both_budgets_may_bind_together(latency):
    uploads = COMPUTING.drop(4)
    problem = weighted_problem(uploads, Weighing())
    latency_s = 1.1 * float(min_max_latency(uploads).objective)
    cheap = weighted_powers(uploads, Weighing(energy_weight=1.0), Budgets(latency_s=latency_s)).certified()
    budgets = Budgets(energy_j=1.001 * problem.energy_j(cheap.power), latency_s=latency_s)
    found = weighted_powers(uploads, Weighing(latency=latency), budgets).certified()
    assert problem.energy_j(found.power) <= budgets.energy_j
    assert problem.latency_s(found.power) <= budgets.latency_s


def test_what_cannot_be_is_told_with_what_is_possible():
    uploads = UPLOADS.drop(5)
    least_s = float(min_max_latency(uploads).objective)
    with pytest.raises(
        InfeasibleError, match=r"the latency budget is .* s, but the slowest user needs at least"
    ) as told:
        weighted_powers(uploads, budgets=Budgets(latency_s=0.5 * least_s))
    assert float(str(told.value).split("at least ")[1].split()[0]) == pytest.approx(least_s, rel=1e-2)
    problem = weighted_problem(uploads, Weighing())
    cheapest = weighted_powers(uploads, Weighing(energy_weight=1.0), Budgets(latency_s=2 * least_s)).certified()
    energy_j = problem.energy_j(cheapest.power)
    with pytest.raises(InfeasibleError, match=r"the energy budget is .* J, but the uploads within .* s need") as told:
        weighted_powers(uploads, budgets=Budgets(energy_j=0.9 * energy_j, latency_s=2 * least_s))
    assert float(str(told.value).split("at least ")[1].split()[0]) == pytest.approx(energy_j, rel=1e-2)
    for nothing in (Budgets(energy_j=0.0), Budgets(latency_s=-1.0)):
        with pytest.raises(InfeasibleError, match="at least"):
            weighted_powers(uploads, budgets=nothing)


def test_a_warm_start_reaches_the_same():
    cold = weighted_powers(UPLOADS.drop(6)).certified()
    for warm_start in (cold.power, np.ones(20), np.full(20, 1e-9)):
        warm = weighted_powers(UPLOADS.drop(6), warm_start=warm_start).certified()
        assert warm.objective == pytest.approx(cold.objective, rel=1e-7)


def test_too_few_steps_are_told_and_not_used():
    for solver in ("interior-point", "slsqp"):
        found = weighted_powers(UPLOADS.drop(7), solver=solver, most_iterations=2)
        assert not found.converged
        assert found.objective <= 1 + 1e-3  # not worse than the start
        with pytest.raises(RunFailedError, match=f"weighted powers by {solver} has not converged"):
            found.certified()


def test_two_hundred_users_reach_the_same_residual():
    uploads = uploads_of_drops(1, 200, seed=5).drop(0)
    found = weighted_powers(uploads).certified()
    assert found.kkt_residual <= 1e-8
    assert found.objective < weighted_problem(uploads, Weighing()).objective(
        np.clip(min_max_latency(uploads).power, 1e-4, 1)
    )


def test_units_of_payload_do_not_change_the_powers():
    once = weighted_powers(UPLOADS.drop(8)).certified()
    more = weighted_powers(uploads_of_drops(20, 20, seed=1, payload_bits=1e9).drop(8)).certified()
    np.testing.assert_allclose(more.power, once.power, rtol=1e-5)


@pytest.mark.parametrize("change", [{"energy_weight": 1.5}, {"least_power": 0.0}, {"latency": "mean"}])
def test_weights_out_of_range_are_refused(change):
    with pytest.raises(ConfigError, match=f"{next(iter(change))} = "):
        Weighing(**change)


def test_several_drops_are_refused_with_what_to_do():
    with pytest.raises(ConfigError, match=r"expected those of one drop, as `gains.drop\(0\)`"):
        weighted_powers(FEW)
