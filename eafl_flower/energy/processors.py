"""What the clients' processors take for a job."""

import math
from dataclasses import dataclass, field, replace

from eafl_flower.energy.model import CMOSEnergy
from eafl_flower.errors import ConfigError
from eafl_flower.protocols import EnergyModel
from eafl_flower.types import Phase, Work


@dataclass(frozen=True, kw_only=True)
class Processors:
    """One model for all clients, who differ in speed.

    Parameters
    ----------
    energy
        Prices computation.
    slowdown
        Slowdown of the clients' processors, cycled over the clients; multiplies ``work.slowdown``.

    Raises
    ------
    ConfigError
        If there is no slowdown, or one is not positive.
    """

    energy: EnergyModel = field(default_factory=CMOSEnergy)
    slowdown: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not self.slowdown or not all(0 < s < math.inf for s in self.slowdown):
            raise ConfigError(f"slowdown = {self.slowdown}: expected at least one positive number, and only such")

    def compute(self, client: int, work: Work) -> Phase:
        """Return time and energy of ``work`` on the processor of ``client``."""
        work = replace(work, slowdown=work.slowdown * self.slowdown[client % len(self.slowdown)])
        return Phase(time_s=self.energy.compute_time_s(work), energy_j=self.energy.compute_energy_j(work))
