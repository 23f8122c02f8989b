"""Many updates of one version as one update: the barrier of synchronous rounds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eafl_flower.aggregation.acceptance import accept
from eafl_flower.aggregation.example_counts import largest_believed
from eafl_flower.aggregation.merge import squared_norm, step
from eafl_flower.errors import ConfigError
from eafl_flower.types import Diagnostics, Merged, Update

COMBINED_CLIENT = -1


@dataclass(frozen=True, kw_only=True)
class Round:
    """The updates of one ``apply`` as one update.

    ``norms`` are the L2 norms of the updates, ``scales`` what ``bounded`` left of each, ``shares`` their shares in the
    mean.
    """

    update: Update
    norms: tuple[float, ...] = (0.0,)
    scales: tuple[float, ...] = (1.0,)
    shares: tuple[float, ...] = (1.0,)

    def told(self, merged: Merged) -> Diagnostics:
        """Return how each of the updates was merged, given how the one that stands for them was."""
        if len(self.norms) == 1:
            return (merged,)
        return tuple(
            replace(merged, weight=merged.weight * share, scale=merged.scale * scale, norm=norm)
            for norm, scale, share in zip(self.norms, self.scales, self.shares, strict=True)
        )


def as_round(updates: Sequence[Update], most: float = 0.0) -> Round:
    """Return a single update as it is, and of several the mean, with none longer than ``bounded`` lets it be.

    Raises
    ------
    ValueError, UpdateRefusedError
        If ``combine`` refuses them.
    """
    if len(updates) == 1:
        return Round(update=updates[0])
    kept, norms, scales = bounded(updates, most)
    return Round(update=combine(kept), norms=tuple(norms), scales=tuple(scales), shares=tuple(shares_of(kept)))


def the_only(updates: Sequence[Update], whose: str) -> Update:
    """Return the only update; raise ``ConfigError`` that ``whose`` rule merges no rounds if there are several."""
    if len(updates) != 1:
        msg = f"{whose} merges one update at a time, {len(updates)} were given: it cannot stand behind a barrier"
        raise ConfigError(msg)
    return updates[0]


def bounded(updates: Sequence[Update], most: float) -> tuple[list[Update], list[float], list[float]]:
    r"""Scale down the updates of a round that are far longer than the others, so that one does not decide for all.

    .. math:: \delta_k \leftarrow \delta_k \min\bigl(1,\ m\,\tilde\ell / \lVert\delta_k\rVert\bigr)

    Parameters
    ----------
    updates
        The updates of one version.
    most
        The multiple :math:`m` of the (lower) median norm :math:`\tilde\ell` of those above 0; with 0 all stay as they
        are. Integer arrays are never scaled.

    Returns
    -------
    list, list, list
        The updates, their norms before, and what each was multiplied by.
    """
    norms = [math.sqrt(squared) if math.isfinite(squared := squared_norm(u.delta)) else math.inf for u in updates]
    moved = sorted(norm for norm in norms if norm > 0)
    limit = most * moved[(len(moved) - 1) // 2] if most and moved else math.inf
    scales = [limit / norm if limit < norm < math.inf else 1.0 for norm in norms]
    kept = [_scaled(update, scale) if scale < 1 else update for update, scale in zip(updates, scales, strict=True)]
    return kept, norms, scales


def _scaled(update: Update, scale: float) -> Update:
    return replace(update, delta=tuple(d * d.dtype.type(scale) if d.dtype.kind == "f" else d for d in update.delta))


def combine(updates: Sequence[Update]) -> Update:
    r"""Mean of updates weighted by their examples, as one update.

    .. math:: \delta = \frac{\sum_k n_k \delta_k}{\sum_k n_k}

    Summed in the order given, so give them in an order that does not depend on who answered first.
    Clients without any examples weigh nothing; if no client has any, all weigh alike. Counts above
    ``largest_believed`` are taken as that. Integer arrays are counters: their deltas are added up.

    Parameters
    ----------
    updates
        At least one update, all with the same base version and layout.

    Returns
    -------
    Update
        Of client -1, with the sum of the counts believed and no base. Its staleness at the barrier is 0, so
        every staleness rule weighs it 1.

    Raises
    ------
    ValueError
        If there is no update, or base versions differ.
    UpdateRefusedError
        If an update does not have the shapes of the first or is not finite; the message names its client.
    """
    if not updates:
        msg = "no updates to combine: the round had no answers"
        raise ValueError(msg)
    versions = {u.base_version for u in updates}
    if len(versions) > 1:
        msg = f"updates to combine have base versions {sorted(versions)}, expected one: a barrier waits for one version"
        raise ValueError(msg)
    (version,) = versions
    mean = tuple(np.zeros(d.shape, dtype=d.dtype) for d in updates[0].delta)
    for update, share in zip(updates, shares_of(updates), strict=True):
        step(mean, accept(mean, update, version=version, into_model=False).deltas, share)
    return Update(client=COMBINED_CLIENT, delta=mean, base_version=version, num_examples=int(sum(_counts(updates))))


def _counts(updates: Sequence[Update]) -> list[float]:
    most = largest_believed(u.num_examples for u in updates)
    return [min(u.num_examples, most) for u in updates]


def shares_of(updates: Sequence[Update]) -> list[float]:
    """Return the share of each update in ``combine``'s mean; they sum up to 1."""
    counts = _counts(updates)
    total = sum(counts)
    return [count / total if total else 1.0 / len(counts) for count in counts]
