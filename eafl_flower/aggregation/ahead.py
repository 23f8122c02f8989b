r"""How far ahead of a mean clients start that will answer late.

.. math:: x = \theta + c\,(\theta - \bar\theta), \qquad c = h\,\min(\tfrac23 A\,g,\ 1.5)

:math:`\bar\theta` is the mean's moving average, 1/0.7 rounds' worth behind it, and A the mean age of the arrays that
clients started from, in rounds' worth: this is 95 % of the way that the mean goes in the time A. It is Nesterov's
momentum: a direction in which training ends where it should is not touched, since what clients answer there does not
depend on where they start, and one in which the model keeps going is gone up to twice as fast as with FedAvg. It is
no more because :math:`g`, from 0 to 1, lets go when the newest updates do not keep up the speed of the model,

.. math:: g = \mathrm{clip}\bigl(3\,(s - 0.3),\ 0,\ 1\bigr), \qquad
          s = \Bigl\langle \frac{\langle \kappa\delta_k,\ \theta-\bar\theta\rangle}
          {0.7\,\lVert\theta-\bar\theta\rVert^2} \Bigr\rangle

the mean of the last round's worth. Training that overshoots by far may swing with a lead of 1 though it would settle
without: so :math:`h`, 1 at first, is halved each time a round's worth of updates is twice as long as the shortest
since, and grows back by 0.3 % a round. All of it is ours but Nesterov's idea (1983).
"""

from dataclasses import dataclass, replace

from eafl_flower.aggregation.merge import along
from eafl_flower.types import Arrays

SERVED_SHARE = 0.7  # of the mean in the average, after a round's worth of merges
LEAD = 2 / 3  # times the age of the bases: the average is 1 / 0.7 rounds behind
MOST_LEAD = 1.5
SUPPORT_NEEDED, FULL_SUPPORT = 0.3, 1 / 3  # no lead at the first, all of it that much above
MOST_SUPPORT = 2.0  # of a single update; so much against the model counts half
GROWTH = 2.0  # of updates, from where on less lead is better
RECOVERY = 1.003  # of the lead, a round


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What decides the lead.

    ``support`` is :math:`s`, the mean of the newest ``supports`` updates, ``held`` is :math:`h`; ``pace`` is the sum
    of the norms of this round's worth of updates, ``least_pace`` the least it was since ``held`` changed, 0 at first.
    """

    support: float = 1.0
    supports: int = 0
    held: float = 1.0
    pace: float = 0.0
    least_pace: float = 0.0

    def share(self, age: float) -> float:
        """Return :math:`c` for a mean ``age`` of the bases [rounds' worth]."""
        let = min(max((self.support - SUPPORT_NEEDED) / FULL_SUPPORT, 0.0), 1.0)
        return self.held * min(LEAD * age * let, MOST_LEAD)

    def supported(self, deltas: Arrays, mean: Arrays, average: Arrays, *, step: float, clients: int) -> "Ahead":
        """Take in how far an update, times ``step``, keeps up the speed of the model."""
        product, square = along(deltas, mean, average)
        if not square:
            return self
        count = min(self.supports + 1, clients)
        support = min(max(step * product / (SERVED_SHARE * square), -MOST_SUPPORT / 2), MOST_SUPPORT)
        return replace(self, support=self.support + (support - self.support) / count, supports=count)

    def paced(self, norm: float, *, ends_round: bool) -> "Ahead":
        """Take in the norm of an update."""
        pace = self.pace + norm
        if not ends_round or not pace:
            return replace(self, pace=pace)
        if pace > GROWTH * self.least_pace > 0:
            return replace(self, held=self.held / 2, pace=0.0, least_pace=pace)
        least = min(pace, self.least_pace or pace)
        return replace(self, held=min(RECOVERY * self.held, 1.0), pace=0.0, least_pace=least)
