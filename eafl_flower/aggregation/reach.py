"""How far clients move, in lengths of their arrays, and how many times a step is lengthened where none moves far.

With ordinary settings some array moves by 7 % of its length in a round, or by half as much. Where no client ever
moves any by that, steps are lengthened until one does, at most 64 times: a learning rate that is too small costs
little, and so do the few small steps of clients with few rows. Once updates have been longer, it ends for good. The
rule is ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from eafl_flower.aggregation.early_norms import fresh_norms
from eafl_flower.aggregation.merge import squared_norms
from eafl_flower.types import Arrays

ORDINARY_REACH = 0.07
MOST_STEP = 64.0


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far clients move.

    ``lengths`` are those of the arrays, of a round ago at most. ``mean`` is that over a round's worth of updates of the
    largest share of an array's length that one moves, ``most`` the largest it ever was.
    """

    lengths: tuple[float, ...] = ()
    mean: float = 0.0
    most: float = 0.0

    @property
    def step(self) -> float:
        """How many times a step is lengthened, at least 1."""
        return min(max(ORDINARY_REACH / self.most, 1.0), MOST_STEP) if self.most else 1.0

    def with_update(self, norms: Sequence[float], *, count: int) -> "Reach":
        """Take in an update whose arrays have these L2 ``norms``, the last of ``count``."""
        moved = max((norm / length for norm, length in zip(norms, self.lengths, strict=True) if length), default=0.0)
        mean = self.mean + (moved - self.mean) / count
        return replace(self, mean=mean, most=max(mean, self.most))

    def of(self, arrays: Arrays) -> "Reach":
        """Measure the arrays: how long they are, or would be if they were fresh; new biases and adapters are zero."""
        norms = zip(squared_norms(arrays), fresh_norms(arrays), strict=True)
        lengths = (max(math.sqrt(square), fresh) if math.isfinite(square) else fresh for square, fresh in norms)
        return replace(self, lengths=tuple(lengths))
