"""What has to be sent, and what sending it takes at given powers."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import ConfigError
from eafl_flower.radio.gains import Integers, UplinkGains, rates_bit_s, require_heard

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Uploads:
    r"""Users that upload together.

    Parameters
    ----------
    gains
        The uplink, of these users alone.
    payload_bits
        What each has to send, :math:`b_k` [bit], ``(..., num_users)``, positive.
    computation_s
        How long each computes before it sends, :math:`\ell^{cp}_k` [s], of the same shape; nothing by default.

    Raises
    ------
    ConfigError
        If shapes do not fit, a payload is not positive, a time is negative, either is not finite, or no access point
        hears a user.
    """

    gains: UplinkGains
    payload_bits: Array
    computation_s: Array | float = 0.0

    def __post_init__(self) -> None:
        shape = self.gains.signal.shape
        payload, computation = _broadcast("payload_bits", self.payload_bits, shape), self.computation_s
        computation = _broadcast("computation_s", computation, shape)
        _check("payload_bits", payload, (payload > 0) & np.isfinite(payload), "a positive number of bits")
        _check("computation_s", computation, (computation >= 0) & np.isfinite(computation), "seconds, at least 0")
        require_heard(self.gains)
        object.__setattr__(self, "payload_bits", payload)
        object.__setattr__(self, "computation_s", computation)

    def drop(self, index: int) -> "Uploads":
        """Return one drop of several."""
        return replace(
            self,
            gains=self.gains.drop(index),
            payload_bits=self.payload_bits[index],
            computation_s=np.asarray(self.computation_s)[index],
        )

    def of(self, users: Integers) -> "Uploads":
        """Return the uploads of some users, while nobody else sends."""
        return replace(
            self,
            gains=self.gains.of(users),
            payload_bits=self.payload_bits[..., users],
            computation_s=np.asarray(self.computation_s)[..., users],
        )

    def latencies_s(self, power: Array) -> Array:
        r"""Time until each is done, :math:`\ell^{cp}_k + b_k / R_k(p)` [s], ``(..., num_users)``."""
        latency: Array = self.computation_s + self.payload_bits / rates_bit_s(self.gains, power)
        return latency

    def energies_j(self, power: Array) -> Array:
        r"""Energy that each sends with, :math:`P_u p_k b_k / R_k(p)` [J], ``(..., num_users)``."""
        return self.gains.max_power_w * power * self.payload_bits / rates_bit_s(self.gains, power)


def _broadcast(name: str, value: Array | float, shape: tuple[int, ...]) -> Array:
    value = np.asarray(value, np.float64)
    try:
        return np.broadcast_to(value, shape)
    except ValueError:
        raise ConfigError(f"{name} has shape {value.shape}: expected {shape}, one number for each user") from None


def _check(name: str, values: Array, right: NDArray[np.bool_], expected: str) -> None:
    if not right.all():
        where = tuple(np.argwhere(~right)[0])
        msg = f"user {where[-1]} has {name} = {values[where]}: expected {expected}"
        raise ConfigError(msg)
