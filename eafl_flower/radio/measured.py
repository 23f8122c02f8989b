r"""The rate of a link as a server sees it: bits over seconds, of whole exchanges.

Of an exchange a server knows when it sent a job and when the reply came, how many bits went both ways, and how long the
node says that it was at work. What is left, :math:`t_i` for :math:`b_i` bits, is transfer and pauses: Flower's nodes
sleep for up to 3 s before they ask for work, and start a process for each message.

.. math:: t_i = t_0 + b_i / r + \text{noise}, \qquad t_0 \geq 0

Where sizes differ, :math:`1 / r` is the median of the slopes between all pairs (Theil and Sen), if it is positive with
confidence. Where they do not, pauses cannot be told from transfer, and the bits over all seconds are the least that
:math:`r` can be. The server sees only the sum of both directions, so both have the one rate.

References
----------
P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", J. Am. Stat. Assoc. 63, 1968.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from eafl_flower.types import Phase

FEWEST: Final = 6  # exchanges: all slopes between fewer are often positive by chance
MOST_KEPT: Final = 32  # the newest; a client that moves has another link later
LONG_S: Final = 30.0  # an exchange beside which pauses of a few seconds hardly count
_CONFIDENCE: Final = 0.95
_SPREAD: Final = 1.5  # largest size over the smallest


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """``num_bits`` of a job and its reply, the seconds in which the node was not at work, and those of the model."""

    num_bits: int
    time_s: float
    model_s: float


def measured_rate_bit_s(exchanges: Sequence[Exchange]) -> float:
    """Return the rate that ``exchanges`` show [bit/s], 0 if they show none.

    Where sizes tell nothing, bits over seconds are returned if they say more than the model: if the exchanges took less
    time than it says, or so long that pauses hardly count.

    Examples
    --------
    >>> sizes = (1e6, 2e6, 3e6, 4e6, 5e6, 6e6)
    >>> measured_rate_bit_s([Exchange(num_bits=int(b), time_s=4.0 + b / 2e6, model_s=1.0) for b in sizes])
    2000000.0
    """
    if len(exchanges) < FEWEST:
        return 0.0
    bits = np.array([e.num_bits for e in exchanges], float)
    time_s = np.array([e.time_s for e in exchanges])
    least = float(np.median(bits / time_s))  # the pause is not negative
    if bits.max() >= _SPREAD * bits.min():
        from scipy.stats import theilslopes  # half a second, which simulations need not take

        found = theilslopes(time_s, bits, _CONFIDENCE)
        if found.low_slope > 0:
            return max(least, 1.0 / float(found.slope))
    middle_s = float(np.median(time_s))
    return least if middle_s >= LONG_S or middle_s < np.median([e.model_s for e in exchanges]) else 0.0


def at_rate(phase: Phase, num_bits: int, rate_bit_s: float) -> Phase:
    """Return a transfer of so many bits at this rate, at the power that the model has for ``phase``.

    Examples
    --------
    >>> at_rate(Phase(time_s=2.0, energy_j=0.4), 8_000, 1_000.0)
    Phase(time_s=8.0, energy_j=1.6)
    """
    time_s = num_bits / rate_bit_s
    return Phase(time_s=time_s, energy_j=phase.energy_j / phase.time_s * time_s if phase.time_s else 0.0)
