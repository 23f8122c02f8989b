"""What computation costs in time and energy, and what sending takes at a constant rate."""

import math
from dataclasses import dataclass

from eafl_flower.errors import ConfigError
from eafl_flower.types import Work


def computation_energy(cycles: float, frequency_hz: float, switched_capacitance_f: float) -> float:
    r"""Energy a CMOS processor spends on one job.

    .. math:: E = \kappa \, C \, f^2

    The clock is constant over the job; idle and memory energy are not included.

    Parameters
    ----------
    cycles
        Clock cycles :math:`C` of the job: samples x epochs x cycles per sample.
    frequency_hz
        Clock :math:`f` [Hz].
    switched_capacitance_f
        Effective switched capacitance :math:`\kappa` [F], about 1e-28 for a phone-class core.

    Returns
    -------
    float
        Energy [J].

    Raises
    ------
    ValueError
        If ``frequency_hz`` is not positive or another argument is negative or not finite.

    References
    ----------
    Burd and Brodersen, "Processor design for portable systems", J. VLSI Signal Processing 13, 1996.

    Examples
    --------
    >>> round(computation_energy(1e9, 1.5e9, 1e-28), 9)
    0.225
    """
    _require("cycles", cycles, positive=False)
    _require("frequency_hz", frequency_hz, positive=True)
    _require("switched_capacitance_f", switched_capacitance_f, positive=False)
    return switched_capacitance_f * cycles * frequency_hz**2


def computation_time_s(cycles: float, frequency_hz: float, slowdown: float = 1.0) -> float:
    r"""Wall time of one job on a processor that gives it every ``slowdown``-th cycle.

    .. math:: t = s \, C / f

    Parameters
    ----------
    cycles
        Clock cycles :math:`C` of the job.
    frequency_hz
        Clock :math:`f` [Hz].
    slowdown
        Factor :math:`s`, at least 1 for a busy processor.

    Returns
    -------
    float
        Time [s].

    Raises
    ------
    ValueError
        If ``frequency_hz`` or ``slowdown`` is not positive, or ``cycles`` negative or not finite.

    Examples
    --------
    >>> computation_time_s(3e9, 1.5e9, 4.0)
    8.0
    """
    _require("cycles", cycles, positive=False)
    _require("frequency_hz", frequency_hz, positive=True)
    _require("slowdown", slowdown, positive=True)
    return slowdown * cycles / frequency_hz


def transmission_time_s(bits: float, rate_bit_s: float) -> float:
    """Time to send ``bits`` at a constant rate, without propagation delay.

    Parameters
    ----------
    bits
        Size of the payload [bit].
    rate_bit_s
        Rate of the link [bit/s].

    Returns
    -------
    float
        Time [s].

    Raises
    ------
    ValueError
        If ``rate_bit_s`` is not positive, or ``bits`` negative or not finite.

    Examples
    --------
    >>> transmission_time_s(8 * 1500, 1e6)
    0.012
    """
    _require("bits", bits, positive=False)
    _require("rate_bit_s", rate_bit_s, positive=True)
    return bits / rate_bit_s


@dataclass(frozen=True, kw_only=True)
class CMOSEnergy:
    r"""CMOS computation: :math:`E = \kappa C f^2`.

    The cycles of a job are ``cycles_per_sample x num_examples x epochs``. A slowdown stretches the
    wall time and leaves the energy alone: the job needs the same number of active cycles at the same
    clock, the processor only gives it fewer of them a second; what it does in between is not charged
    to the job.

    Parameters
    ----------
    switched_capacitance_f
        Effective switched capacitance :math:`\kappa` [F].
    cycles_per_sample
        Clock cycles of one training step on one row.
    frequency_hz
        Clock :math:`f` [Hz].

    Raises
    ------
    ConfigError
        If a parameter is not positive and finite.

    Examples
    --------
    >>> model = CMOSEnergy()
    >>> work = Work(num_examples=1000, epochs=2, slowdown=4.0)
    >>> model.compute_time_s(work), round(model.compute_energy_j(work), 9)
    (0.096, 0.0024)
    """

    switched_capacitance_f: float = 1e-28
    cycles_per_sample: float = 12_000.0
    frequency_hz: float = 1e9

    def __post_init__(self) -> None:
        for name in ("switched_capacitance_f", "cycles_per_sample", "frequency_hz"):
            if not (0 < getattr(self, name) < math.inf):
                msg = f"energy model: {name} = {getattr(self, name)}: expected a positive number"
                raise ConfigError(msg)

    def compute_time_s(self, work: Work) -> float:
        """Time the client computes [s]."""
        return computation_time_s(self._cycles(work), self.frequency_hz, work.slowdown)

    def compute_energy_j(self, work: Work) -> float:
        """Energy the client computes with [J]; independent of the slowdown."""
        return computation_energy(self._cycles(work), self.frequency_hz, self.switched_capacitance_f)

    def _cycles(self, work: Work) -> float:
        return self.cycles_per_sample * work.num_examples * work.epochs


def _require(name: str, value: float, *, positive: bool) -> None:
    # written so that NaN fails too
    if not (0 <= value < math.inf) or (positive and value == 0):
        msg = f"{name} = {value}: expected a finite number {'above' if positive else 'of at least'} 0"
        raise ValueError(msg)
