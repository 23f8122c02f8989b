r"""Powers of least latency of the slowest user, for many drops at once.

For a latency :math:`T` user :math:`k` needs the rate :math:`b_k / (T - \ell^{cp}_k)`, so an SINR :math:`\gamma_k`; the
least powers with these SINRs solve

.. math:: p = M (\tilde B p + I), \quad M_k = \gamma_k / (A_k - \gamma_k B_k).

Bisection on :math:`T` needs one linear solve a step. Each solution, scaled so that its largest coefficient is 1, also
bounds the optimum from both sides: :math:`\min_k \ell_k(p) \le T^* \le \max_k \ell_k(p)`, for powers with all SINRs
larger would have to be larger in every coordinate. The bounds close faster than bisection alone, and at the end prove
how close the optimum is.

Zander, "Performance of optimum transmitter power control in cellular radio systems", IEEE Trans. Vehicular Technology
41(1), 1992; Yates, "A framework for uplink power control in cellular radio systems", IEEE JSAC 13(7), 1995.
"""

import numpy as np
from numpy.typing import NDArray

from eafl_flower.power.allocation import Allocation
from eafl_flower.power.uploads import Uploads
from eafl_flower.radio.gains import rates_bit_s

Array = NDArray[np.float64]


def min_max_latency(uploads: Uploads, *, tolerance: float = 1e-10, most_iterations: int = 200) -> Allocation:
    r"""Minimise the latency of the slowest user, :math:`\max_k \ell^{cp}_k + b_k / R_k(p)` over :math:`0 \le p \le 1`.

    This is the global optimum: all users are done at the same time, and one of them sends with full power.

    Parameters
    ----------
    uploads
        Drops ``(...)`` of users.
    tolerance
        Relative distance of the bounds at which a drop is done.
    most_iterations
        Linear solves a drop.

    Returns
    -------
    Allocation
        ``objective``: the latency [s]. ``kkt_residual``: how far, relative to it, the proven lower bound is below it.
    """
    gains = uploads.gains
    *drops, num_users = gains.signal.shape
    signal, own, noise = (a.reshape(-1, num_users) for a in (gains.signal, gains.self_interference, gains.noise))
    coupling = gains.interference.reshape(-1, num_users, num_users) / signal[..., None]
    own, noise = own / signal, noise / signal
    nats = (uploads.payload_bits * np.log(2.0) / gains.data_bandwidth_hz).reshape(-1, num_users)
    computation = np.asarray(uploads.computation_s).reshape(-1, num_users)

    def latencies(power: Array, rows: NDArray[np.int64]) -> Array:
        disturbance = (coupling[rows] @ power[..., None])[..., 0] + own[rows] * power + noise[rows]
        with np.errstate(divide="ignore"):  # a coefficient of 0 takes forever
            latency: Array = computation[rows] + nats[rows] / np.log1p(power / disturbance)
        return latency

    best = np.ones_like(signal)
    rows = np.arange(len(signal))
    at_full = latencies(best, rows)
    low, high = at_full.min(axis=-1), at_full.max(axis=-1)
    floor = computation.max(axis=-1)
    low = np.maximum(low, floor)
    steps = np.zeros(len(signal), np.int64)
    for _ in range(most_iterations):
        rows = np.flatnonzero(high - low > tolerance * high)
        if not len(rows):
            break
        steps[rows] += 1
        # from `floor` on, latencies span decades
        middle = floor[rows] + np.sqrt((low[rows] - floor[rows]) * (high[rows] - floor[rows]))
        middle = np.where(middle > low[rows], middle, (low[rows] + high[rows]) / 2)
        time_s = middle[:, None] - computation[rows]
        power, solvable = _least_powers(time_s, nats[rows], own[rows], coupling[rows], noise[rows])
        low[rows[~solvable]] = middle[~solvable]
        rows, power = rows[solvable], power[solvable]
        if not len(rows):
            continue
        power /= power.max(axis=-1, keepdims=True)
        latency = latencies(power, rows)
        slowest = latency.max(axis=-1)
        low[rows] = np.maximum(low[rows], latency.min(axis=-1))
        better = slowest < high[rows]
        high[rows[better]], best[rows[better]] = slowest[better], power[better]
    gap = np.maximum(high - low, 0.0) / high
    power = best.reshape(*drops, num_users)
    return Allocation(
        method="min-max-latency",
        power=power,
        rate_bit_s=rates_bit_s(gains, power),
        objective=high.reshape(drops),
        kkt_residual=gap.reshape(drops),
        converged=(gap <= tolerance).reshape(drops),
        iterations=int(steps.max(initial=0)),
    )


def _least_powers(
    time_s: Array, nats: Array, own: Array, coupling: Array, noise: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the least powers that send ``nats`` in ``time_s``, and for which drops there are any."""
    left: Array
    with np.errstate(over="ignore", divide="ignore"):
        ratio = np.expm1(nats / time_s)
        left = 1.0 / ratio - own  # (drops, num_users)
    reachable: NDArray[np.bool_] = np.all(left > 0, axis=-1)
    left = np.where(reachable[:, None], left, 1.0)
    matrix = -coupling
    users = np.arange(nats.shape[-1])
    matrix[:, users, users] += left
    power = _solved(matrix, noise)
    return power, reachable & np.all(power > 0, axis=-1)


def _solved(matrices: Array, right: Array) -> Array:
    """Solve many systems; NaN where a matrix is singular."""
    try:
        solved: Array = np.asarray(np.linalg.solve(matrices, right[..., None])[..., 0], np.float64)
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full_like(right, np.nan)
        each = [_solved(matrices[i : i + 1], right[i : i + 1]) for i in range(len(matrices))]
        solved = np.concatenate(each)
    return solved
