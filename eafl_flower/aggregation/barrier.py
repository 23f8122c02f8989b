"""Many updates of one version as one update: the barrier of synchronous rounds."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eafl_flower.aggregation.acceptance import accept
from eafl_flower.aggregation.example_counts import largest_believed
from eafl_flower.aggregation.merge import squared_norm, step
from eafl_flower.types import Update

COMBINED_CLIENT = -1


def bounded(updates: Sequence[Update], most: float) -> tuple[list[Update], dict[int, tuple[float, float]]]:
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
    list, dict
        The updates, and by client the norms before and after of those that were scaled.
    """
    norms = [math.sqrt(squared) if math.isfinite(squared := squared_norm(u.delta)) else math.inf for u in updates]
    moved = sorted(norm for norm in norms if norm > 0)
    limit = most * moved[(len(moved) - 1) // 2] if most and moved else math.inf
    found: list[Update] = []
    scaled = {}
    for update, norm in zip(updates, norms, strict=True):
        if limit < norm < math.inf:
            scaled[update.client] = (norm, limit)
            delta = tuple(d * d.dtype.type(limit / norm) if d.dtype.kind == "f" else d for d in update.delta)
            update = replace(update, delta=delta)
        found.append(update)
    return found, scaled


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
    most = largest_believed(u.num_examples for u in updates)
    counts = [min(u.num_examples, most) for u in updates]
    total = sum(counts)
    mean = tuple(np.zeros(d.shape, dtype=d.dtype) for d in updates[0].delta)
    for update, count in zip(updates, counts, strict=True):
        share = count / total if total else 1.0 / len(updates)
        step(mean, accept(mean, update, version=version, into_model=False).deltas, share)
    return Update(client=COMBINED_CLIENT, delta=mean, base_version=version, num_examples=int(total))
