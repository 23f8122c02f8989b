"""Many updates of one version as one update: the barrier of synchronous rounds."""

from collections.abc import Sequence

import numpy as np

from eafl_flower.aggregation.acceptance import accept
from eafl_flower.aggregation.example_counts import largest_believed
from eafl_flower.aggregation.merge import step
from eafl_flower.types import Update

COMBINED_CLIENT = -1


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
