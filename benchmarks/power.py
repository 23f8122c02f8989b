"""Allocation of power over a cell-free uplink, against SciPy's solvers on the same problems.

    python benchmarks/power.py [--drops 5] [--batch 1000] [--quick]

All contestants solve the same drops in one process, in turn, one thread each; times are medians over the drops, of a
whole solve with its start. A ratio above 1 is faster than the peer.

* Weighted: energy and latency of the slowest user, half each. The peer is what one writes first: SciPy's SLSQP in the
  powers themselves, from 0.5 for all, with a variable for the maximum, rates of all users in one numpy expression,
  derivatives by finite differences. The row "SLSQP in log power" is ours with SciPy's solver: what of the ratio is due
  to the formulation, and what to the solver. Rows of objectives tell how much larger the peer's is, at worst.
* Least latency of the slowest user: the textbook bisection, a feasibility LP a step (scipy.optimize.linprog, HiGHS),
  to the same relative 1e-6; SciPy's SLSQP in log power with our derivatives; and CVXPY with ECOS, the problem as a
  geometric program, if both are installed.

SciPy's figures depend on its version: SLSQP is compiled C since 1.16, and several times slower before.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy
from report import row, write_rows
from scipy.optimize import linprog, minimize
from threadpoolctl import threadpool_limits

from eafl_flower.core.rng import generator
from eafl_flower.power import Allocation, Uploads, Weighing, WeightedProblem, min_max_latency, weighted_powers
from eafl_flower.power import weighted_problem as problem_of
from eafl_flower.power.problem import LogProgram
from eafl_flower.radio.cell_free import Uplink, assign_pilots, uplink_gains
from eafl_flower.radio.geometry import (
    Area,
    PathLoss,
    access_points,
    distances_m,
    draw_shadowing_db,
    large_scale_fading,
    user_positions,
)

PAYLOAD_BITS = 1e6
PEER = f"finite differences, SLSQP of SciPy {scipy.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drops", type=int, default=5, help="drops of each weighted row (default 5)")
    parser.add_argument("--batch", type=int, default=1000, help="drops of the batch (default 1000)")
    parser.add_argument("--quick", action="store_true", help="two drops, a batch of 50, no peer at 200 users")
    arguments = parser.parse_args()
    drops, batch = (2, 50) if arguments.quick else (arguments.drops, arguments.batch)
    rows = [*_weighted(20, drops), *_weighted(40, drops, aim=10.0)]
    rows += _weighted(200, min(drops, 2), compared=not arguments.quick)
    write_rows("power", [*rows, *_min_max(batch)])


def uploads_of(num_users: int, drops: int) -> Uploads:
    rng = generator(0, "benchmark", "power", num_users)
    area, path_loss = Area(), PathLoss()
    aps_m, users_m = access_points(area, rng, (drops,)), user_positions(area, num_users, rng, (drops,))
    distance_m = distances_m(area, users_m, aps_m)
    fading = large_scale_fading(path_loss, distance_m, draw_shadowing_db(path_loss, distance_m.shape, rng))
    gains = uplink_gains(fading, assign_pilots(fading, 10, rng), Uplink())
    return Uploads(gains=gains, payload_bits=np.full((drops, num_users), PAYLOAD_BITS))


def plain_slsqp(problem: WeightedProblem) -> float:
    """Return the objective that SLSQP reaches in the powers themselves, without derivatives."""
    uploads, weighing = problem.uploads, problem.weighing
    users = uploads.gains.num_users

    def objective(x: np.ndarray) -> float:
        energy = problem.energy_j(x[:-1]) / problem.energy_ref_j
        return float(weighing.energy_weight * energy + (1 - weighing.energy_weight) * x[-1])

    start = np.full(users, 0.5)
    last = uploads.latencies_s(start).max() / problem.latency_ref_s
    found = minimize(
        objective,
        np.append(start, last),
        bounds=[(weighing.least_power, 1.0)] * users + [(0.0, None)],
        constraints={"type": "ineq", "fun": lambda x: x[-1] - uploads.latencies_s(x[:-1]) / problem.latency_ref_s},
        method="SLSQP",
        options={"ftol": 1e-8, "maxiter": 300},
    )
    return problem.objective(np.clip(found.x[:-1], weighing.least_power, 1.0))


def _weighted(num_users: int, drops: int, *, aim: float | None = None, compared: bool = True) -> list[dict[str, Any]]:
    uploads, weighing = uploads_of(num_users, drops), Weighing()
    answers: dict[str, list[Any]] = {}
    contestants: dict[str, Callable[[Uploads], Any]] = {
        "interior point": lambda one: weighted_powers(one, weighing),
        "SLSQP in log power": lambda one: weighted_powers(one, weighing, solver="slsqp"),
        "peer": lambda one: plain_slsqp(problem_of(one, weighing)),
    }
    if not compared:
        contestants = {"interior point": contestants["interior point"]}
    ms = _medians_ms(contestants, [uploads.drop(i) for i in range(drops)], answers)
    found: list[Allocation] = [answer.certified() for answer in answers["interior point"]]
    name = f"weighted, {num_users} users"
    worst = max(float(a.kkt_residual) for a in found)
    rows = [
        row(f"{name}: residual of the interior point, largest", worst, ""),
        row(f"{name}: steps of the interior point", statistics.median(a.iterations for a in found), ""),
    ]
    if not compared:
        return [*rows, row(f"{name}: interior point", ms["interior point"], "ms")]
    for contestant in ("interior point", "SLSQP in log power"):
        ratio, wanted = ms["peer"] / ms[contestant], aim if contestant == "interior point" else None
        label = f"{name}: {contestant}"
        rows.append(row(label, ms[contestant], "ms", peer=PEER, peer_value=ms["peer"], ratio=ratio, aim=wanted))
    excess = max(peer / float(ours.objective) - 1 for ours, peer in zip(found, answers["peer"], strict=True))
    other = max(
        float(a.objective) / float(b.objective) - 1 for a, b in zip(found, answers["SLSQP in log power"], strict=True)
    )
    rows.append(row(f"{name}: objective of the peer above ours, at worst", excess, ""))
    rows.append(row(f"{name}: ours above SLSQP in log power, at worst", other, ""))
    return rows


def _min_max(batch: int) -> list[dict[str, Any]]:
    uploads = uploads_of(20, batch)
    few = [uploads.drop(i) for i in range(min(batch, 20))]
    began = time.perf_counter()
    together = min_max_latency(uploads).certified()
    batch_ms = 1e3 * (time.perf_counter() - began) / batch
    answers: dict[str, list[Any]] = {}
    contestants: dict[str, Callable[[Uploads], Any]] = {
        "alone": min_max_latency,
        "linprog": linprog_latency,
        "slsqp": slsqp_latency,
    }
    ecos = find_spec("cvxpy") is not None and find_spec("ecos") is not None
    if ecos:
        contestants["ecos"] = cvxpy_latency
    else:
        print("CVXPY with ECOS is not installed: its row is left out")
    ms = _medians_ms(contestants, few, answers)
    name = "least latency, 20 users"
    labels = {
        "alone": "ours, alone",
        "linprog": "bisection with linprog",
        "slsqp": "SLSQP in log power",
        "ecos": "CVXPY with ECOS",
    }
    rows = [row(f"{name}: a batch of {batch}", batch * batch_ms, "ms")]
    for peer, value in ms.items():
        ratio = value / batch_ms
        rows.append(
            row(f"{name}: a drop of the batch", batch_ms, "ms", peer=labels[peer], peer_value=value, ratio=ratio)
        )
        if peer != "alone":
            off = max(abs(a / b - 1) for a, b in zip(answers[peer], together.objective[: len(few)], strict=True))
            rows.append(row(f"{name}: {labels[peer]} differs from ours, at worst", off, ""))
    return rows


def _targets(uploads: Uploads, latency_s: float) -> np.ndarray:
    """Return the SINR of each user that ends its upload in ``latency_s``."""
    return np.exp2(uploads.payload_bits / latency_s / uploads.gains.data_bandwidth_hz) - 1


def linprog_latency(uploads: Uploads) -> float:
    """Return the least latency by bisection: can these SINRs be had with powers from 0 to 1?"""
    gains = uploads.gains
    low, high = 0.0, float(uploads.latencies_s(np.ones(gains.num_users)).max())
    while high - low > 1e-6 * high:
        middle = (low + high) / 2 if low > 0 else high / 2
        ratio = _targets(uploads, middle)[:, None]
        matrix = ratio * (gains.interference + np.diag(gains.self_interference)) - np.diag(gains.signal)
        right = -ratio[:, 0] * gains.noise
        scale = 1 / gains.signal
        found = linprog(np.zeros(gains.num_users), A_ub=matrix * scale[:, None], b_ub=right * scale, bounds=(0, 1))
        low, high = (low, middle) if found.status == 0 else (middle, high)
    return high


def slsqp_latency(uploads: Uploads) -> float:
    """Return the least latency by SciPy's SLSQP in log power with our derivatives, from 0.5 for all."""
    problem = WeightedProblem(
        uploads=uploads,
        weighing=Weighing(energy_weight=0.0, least_power=1e-6),
        energy_ref_j=1.0,
        latency_ref_s=float(uploads.latencies_s(np.full(uploads.gains.num_users, 0.5)).max()),
    )
    program = LogProgram(problem)
    found = minimize(
        lambda x: program.at(x).objective,
        program.begin(np.log(np.full(uploads.gains.num_users, 0.5)), 0.0),
        jac=lambda x: program.at(x).gradients()[0],
        bounds=np.stack([program.lower, program.upper], axis=1),
        constraints={
            "type": "ineq",
            "fun": lambda x: -program.at(x).constraints,
            "jac": lambda x: -program.at(x).gradients()[1],
        },
        method="SLSQP",
        options={"ftol": 1e-10, "maxiter": 300},
    )
    return float(uploads.latencies_s(np.exp(found.x[: uploads.gains.num_users])).max())


def cvxpy_latency(uploads: Uploads) -> float:
    """Return the least latency by a geometric program: payloads are equal, so it has the largest least SINR."""
    import cvxpy as cp

    gains = uploads.gains
    power, least = cp.Variable(gains.num_users, pos=True), cp.Variable(pos=True)
    mixing = (gains.interference + np.diag(gains.self_interference)) / gains.signal[:, None]
    limits = [
        least * (cp.sum(cp.multiply(mixing[k], power)) + gains.noise[k] / gains.signal[k]) <= power[k]
        for k in range(gains.num_users)
    ]
    cp.Problem(cp.Maximize(least), [*limits, power <= 1]).solve(gp=True, solver=cp.ECOS)
    return float(PAYLOAD_BITS / gains.data_bandwidth_hz / np.log2(1 + least.value))


def _medians_ms(
    contestants: dict[str, Callable[[Uploads], Any]], drops: list[Uploads], answers: dict[str, list[Any]]
) -> dict[str, float]:
    for contestant in contestants.values():
        contestant(drops[0].of(np.arange(3)))  # imports, first calls
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for one in drops:
        for name, contestant in contestants.items():
            began = time.perf_counter()
            answers.setdefault(name, []).append(contestant(one))
            times[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
