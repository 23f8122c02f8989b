r"""The weighted problem: little energy, and an early end of the round.

.. math:: \min_{p} \; \theta_E \frac{\sum_k E_k(p)}{E_{ref}} + \theta_L \frac{\ell(p)}{\ell_{ref}}, \quad
          E_k = P_u p_k b_k / R_k(p), \quad \ell_k = \ell^{cp}_k + b_k / R_k(p),
          \quad \theta_E + \theta_L = 1, \quad p_{min} \le p \le 1

with :math:`\ell = \max_k \ell_k`, as a round ends with its slowest user, or :math:`\ell = \sum_k \ell_k`. It is convex
in :math:`q = \log p` (see `log_rates`). The maximum is written with a variable :math:`y = \log \ell` and constraints
:math:`\log b_k - r_k(q) \le \log(e^y - \ell^{cp}_k)`, which are convex too.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.settings import Range, Share, check_settings
from eafl_flower.errors import ConfigError
from eafl_flower.power.log_rates import LogRates, RatesAt
from eafl_flower.power.uploads import Uploads

Array = NDArray[np.float64]
TO_SPARE = 1e-7  # share of a budget that is left
_WIDE = 50.0  # e to this power is more than any latency is off


@dataclass(frozen=True, kw_only=True)
class Weighing:
    r"""What an allocation is judged by.

    Parameters
    ----------
    energy_weight
        :math:`\theta_E`; the latency has the rest.
    latency
        ``"max"``: that of the slowest user; ``"sum"``: the sum over users.
    least_power
        Least coefficient :math:`p_{min}`, positive.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    energy_weight: Share = 0.5
    latency: Literal["max", "sum"] = "max"
    least_power: Annotated[float, Range(0, 1, above=True, below=True)] = 1e-4

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class Budgets:
    """What must not be exceeded; infinite: no budget.

    Parameters
    ----------
    energy_j
        The most energy that all uploads together may take [J].
    latency_s
        The most time that the slowest user may take, computation included [s].

    Raises
    ------
    ConfigError
        If one is not a number.
    """

    energy_j: float = np.inf
    latency_s: float = np.inf

    def __post_init__(self) -> None:
        if np.isnan(self.energy_j) or np.isnan(self.latency_s):
            raise ConfigError(f"budgets are {self.energy_j} J and {self.latency_s} s: expected numbers")


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightedProblem:
    """Uploads of one drop, what they are judged by, and the units of both terms.

    Parameters
    ----------
    uploads
        Users of one drop.
    weighing
        Weights and bounds.
    budgets
        Hard limits.
    energy_ref_j, latency_ref_s
        Units of energy [J] and of latency [s]: their values at the powers of least latency.
    """

    uploads: Uploads
    weighing: Weighing
    budgets: Budgets = Budgets()
    energy_ref_j: float
    latency_ref_s: float

    def energy_j(self, power: Array) -> float:
        """Energy of all uploads [J]."""
        return float(self.uploads.energies_j(power).sum())

    def latency_s(self, power: Array) -> float:
        """Latency as it is weighed, of the slowest user or of all [s]."""
        latencies = self.uploads.latencies_s(power)
        return float(latencies.max() if self.weighing.latency == "max" else latencies.sum())

    def objective(self, power: Array) -> float:
        """Weighted objective; 1 at the powers of least latency."""
        theta = self.weighing.energy_weight
        energy, latency = self.energy_j(power) / self.energy_ref_j, self.latency_s(power) / self.latency_ref_s
        return theta * energy + (1.0 - theta) * latency

    def within_budgets(self, power: Array) -> bool:
        """Whether energy and slowest latency are in the budgets."""
        slowest_s = float(self.uploads.latencies_s(power).max())
        return self.energy_j(power) <= self.budgets.energy_j and slowest_s <= self.budgets.latency_s


class LogProgram:
    r"""The weighted problem in :math:`x = (q, y)`, or :math:`x = q` if no maximum is weighed.

    Its constraints are the users' latencies, of which ``"sum"`` has some only with a budget, then the energy budget. It
    has the form that `interior_point.minimise` solves.
    """

    def __init__(self, problem: WeightedProblem) -> None:
        weighing, budgets, uploads = problem.weighing, problem.budgets, problem.uploads
        self.rates = LogRates.of(uploads.gains)
        self.log_bits = np.log(uploads.payload_bits)
        self.computation_s = np.asarray(uploads.computation_s)
        self.max_power_w = uploads.gains.max_power_w
        self.has_epigraph = weighing.latency == "max" and weighing.energy_weight < 1.0
        self.has_latencies = self.has_epigraph or budgets.latency_s < np.inf
        self.energy_scale = weighing.energy_weight / problem.energy_ref_j
        self.latency_scale = (1.0 - weighing.energy_weight) / problem.latency_ref_s
        self.log_energy_budget = _log_budget(budgets.energy_j)
        self.log_latency_budget = _log_budget(budgets.latency_s)
        self.num_users = uploads.gains.num_users
        size = self.num_users + self.has_epigraph
        log_ref_s = float(np.log(problem.latency_ref_s))
        self.lower, self.upper = np.full(size, np.log(weighing.least_power)), np.zeros(size)
        if self.has_epigraph:
            self.lower[-1] = log_ref_s - _WIDE
            self.upper[-1] = min(log_ref_s + _WIDE, self.log_latency_budget)

    @property
    def has_constraints(self) -> bool:
        """Whether anything but bounds limits the powers."""
        return self.has_latencies or self.log_energy_budget < np.inf

    def at(self, x: Array) -> "LogPoint":
        """Return the values at ``x``."""
        return LogPoint(self, x)

    def begin(self, log_power: Array, margin: float) -> Array:
        """Return x at ``log_power``, moved ``margin`` off the bounds; constraints hold unless a budget is exceeded."""
        users = self.num_users
        log_power = np.clip(log_power, self.lower[:users] + margin, self.upper[:users] - margin)
        if not self.has_epigraph:
            return log_power
        latencies = self.computation_s + np.exp(self.log_bits - self.rates.at(log_power).log_rate)
        needed, upper, floor = float(np.log(latencies.max())), float(self.upper[-1]), float(self.computation_s.max())
        if needed < upper:
            return np.append(log_power, needed + min(max(margin, 1e-9), (upper - needed) / 2))
        return np.append(log_power, np.log(floor + 0.99 * (np.exp(upper) - floor)))


def _log_budget(budget: float) -> float:
    """Return the log of a budget, less what keeps a solver's last digits within it."""
    return float(np.log(budget)) - TO_SPARE if budget > 0 else -_WIDE


class LogPoint:
    """Values and derivatives of a `LogProgram` at one x."""

    def __init__(self, program: LogProgram, x: Array) -> None:
        self.program = program
        log_power = x[: program.num_users]
        self.rates: RatesAt = program.rates.at(log_power)
        log_time = program.log_bits - self.rates.log_rate  # of sending alone
        self.energies = program.max_power_w * np.exp(log_power + log_time)
        self.times = np.exp(log_time)
        self.end = float(np.exp(x[-1] if program.has_epigraph else program.log_latency_budget))
        self.objective = program.energy_scale * float(self.energies.sum())
        if program.has_epigraph:
            self.objective += program.latency_scale * self.end
        else:
            self.objective += program.latency_scale * float((program.computation_s + self.times).sum())
        self.constraints = np.concatenate(list(self._constraints(log_time)))

    def _constraints(self, log_time: Array) -> list[Array]:
        program, parts = self.program, [np.zeros(0)]
        if program.has_latencies:
            left = self.end - program.computation_s
            parts.append(np.where(left > 0, log_time - np.log(np.where(left > 0, left, 1.0)), np.inf))
        if program.log_energy_budget < np.inf:
            parts.append(np.array([np.log(self.energies.sum()) - program.log_energy_budget]))
        return parts

    @property
    def _weights(self) -> tuple[Array, Array]:
        """What each user's energy and time weigh in the objective."""
        program = self.program
        time_scale = 0.0 if program.has_epigraph else program.latency_scale
        return program.energy_scale * self.energies, time_scale * self.times

    def gradients(self) -> tuple[Array, Array]:
        """Return the gradient of the objective ``(n,)`` and the Jacobian of the constraints ``(m, n)``."""
        program, users = self.program, self.program.num_users
        energy, time = self._weights
        gradient = np.zeros(len(program.lower))
        gradient[:users] = energy - self.rates.back(energy + time)
        jacobian = np.zeros((len(self.constraints), len(program.lower)))
        if program.has_epigraph:
            gradient[-1] = program.latency_scale * self.end
            jacobian[:users, -1] = -self.end / (self.end - program.computation_s)
        if program.has_latencies:
            jacobian[:users, :users] = -self.rates.jacobian()
        if program.log_energy_budget < np.inf:
            share = self.energies / self.energies.sum()
            jacobian[-1, :users] = share - self.rates.back(share)
        return gradient, jacobian

    def hessian(self, multipliers: Array) -> Array:
        """Return the Hessian of the Lagrangian ``(n, n)``."""
        program, users = self.program, self.program.num_users
        energy, time = self._weights
        weights = energy + time
        matrix = np.zeros((len(program.lower),) * 2)
        if program.log_energy_budget < np.inf:
            share = self.energies / self.energies.sum()
            slope = share - self.rates.back(share)
            energy = energy + multipliers[-1] * share
            weights = weights + multipliers[-1] * share
            matrix[:users, :users] -= multipliers[-1] * np.outer(slope, slope)
        if program.has_latencies:
            weights = weights + multipliers[:users]
        # energies are exp(q - r + const): their second derivatives have q's own and the mixed terms, too
        mixed = energy[:, None] * self.rates.jacobian()
        matrix[:users, :users] += self.rates.hessian(energy + time, weights) - mixed - mixed.T
        matrix[np.arange(users), np.arange(users)] += energy
        if program.has_epigraph:
            left = self.end - program.computation_s
            bend = program.computation_s * self.end / left**2
            matrix[-1, -1] = program.latency_scale * self.end + float(multipliers[:users] @ bend)
        return matrix
