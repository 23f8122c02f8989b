"""A radio of constant rates: every client has the same link to itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from eafl_flower.core.settings import NotNegative, Positive, check_settings
from eafl_flower.energy.model import transmission_time_s
from eafl_flower.types import Grant, Phase, Upload


@dataclass(frozen=True, kw_only=True)
class ConstantRate:
    """Constant rates and powers, the same for all clients.

    Parameters
    ----------
    uplink_rate_bit_s, downlink_rate_bit_s
        Rates of both directions [bit/s].
    uplink_power_w, downlink_power_w
        Power of a client that sends or receives [W].

    Raises
    ------
    ConfigError
        If a rate is not positive or a power is negative.

    Examples
    --------
    >>> ConstantRate().download(0, 0.0, 625_000)
    Phase(time_s=1.0, energy_j=0.1)
    """

    coupled: ClassVar = False

    uplink_rate_bit_s: Positive = 1e6
    downlink_rate_bit_s: Positive = 5e6
    uplink_power_w: NotNegative = 0.2
    downlink_power_w: NotNegative = 0.1

    def __post_init__(self) -> None:
        check_settings(self)

    def download(self, client: int, time_s: float, num_bytes: int) -> Phase:
        """Price a download: its size through the rate, at constant power."""
        download_s = transmission_time_s(8 * num_bytes, self.downlink_rate_bit_s)
        return Phase(time_s=download_s, energy_j=self.downlink_power_w * download_s)

    def grants(self, time_s: float, uploads: Sequence[Upload]) -> list[Grant]:
        """Return the same grant for everybody."""
        return [Grant(rate_bit_s=self.uplink_rate_bit_s, power_w=self.uplink_power_w)] * len(uploads)
