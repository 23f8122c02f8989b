"""What the clients' processors take for a job."""

import math
from dataclasses import dataclass, field, replace

from eafl_flower.energy.model import CMOSEnergy
from eafl_flower.errors import ConfigError
from eafl_flower.protocols import EnergyModel
from eafl_flower.types import Phase, Work


@dataclass(frozen=True, kw_only=True)
class Processors:
    """One model for all clients, who differ in speed and, if it is said, in power.

    Parameters
    ----------
    energy
        Prices computation.
    slowdown
        Slowdown of the clients' processors, cycled over the clients; multiplies ``work.slowdown``.
    power_w
        What a processor of each slowdown draws while it computes [W]; its energy is then this times its time. Without
        it energy is what the model says.

    Raises
    ------
    ConfigError
        If there is no slowdown, a number is not positive, or there are not as many powers as slowdowns.

    Examples
    --------
    >>> three = Processors(slowdown=(2.0, 1.0, 0.5), power_w=(5.0, 10.0, 20.0))
    >>> slow, usual = (three.compute(client, Work(num_examples=1000, epochs=1)) for client in (0, 1))
    >>> slow.time_s / usual.time_s, slow.energy_j / usual.energy_j
    (2.0, 1.0)
    """

    energy: EnergyModel = field(default_factory=CMOSEnergy)
    slowdown: tuple[float, ...] = (1.0,)
    power_w: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.slowdown or not all(0 < s < math.inf for s in self.slowdown):
            raise ConfigError(f"slowdown = {self.slowdown}: expected at least one positive number, and only such")
        if self.power_w and len(self.power_w) != len(self.slowdown):
            raise ConfigError(
                f"power_w = {self.power_w} with slowdown = {self.slowdown}: expected a power for each slowdown, or none"
            )
        if not all(0 < p < math.inf for p in self.power_w):
            raise ConfigError(f"power_w = {self.power_w}: expected positive numbers")

    def compute(self, client: int, work: Work) -> Phase:
        """Return time and energy of ``work`` on the processor of ``client``."""
        number = client % len(self.slowdown)
        work = replace(work, slowdown=work.slowdown * self.slowdown[number])
        time_s = self.energy.compute_time_s(work)
        energy_j = self.power_w[number] * time_s if self.power_w else self.energy.compute_energy_j(work)
        return Phase(time_s=time_s, energy_j=energy_j)
