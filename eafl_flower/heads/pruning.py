r"""Which subtrees of a head carry nothing, and the record of it that travels with the head.

The score of a subtree is the share of its output's power that varies with the rows,

.. math:: s = \frac{\sum_j \mathrm{Var}_i(y_{ij})}{\sum_j \overline{y_{ij}^2}} \in [0, 1]

After a warm-up of one local epoch it is looked at before each job; a subtree whose score stays below the
threshold at several looks in a row is replaced by its mean output, for good. Of two children one always
stays, so a path from the inputs to the classifier does.

The record is the last array of a head, int32 of length ``2 ** (depth + 1)``: the number of local epochs, then for
each node (the root is 1, the children of i are 2i and 2i + 1) at how many looks in a row its score was low,
or -1 if it was pruned or is below one that was.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eafl_flower.errors import ProtocolError
from eafl_flower.types import Array, Arrays

Record = NDArray[np.int32]
WARM_UP_EPOCHS = 1
PATIENCE = 3
GONE = -1


def new_record(depth: int) -> Record:
    """Return the record of a complete tree that was never trained."""
    return np.zeros(2 << depth, np.int32)


def split_record(head: Sequence[Array]) -> tuple[Arrays, Record | None]:
    """Return the arrays of a head without its record, and the record if there is one."""
    if head and head[-1].dtype == np.int32:
        return tuple(head[:-1]), head[-1]
    return tuple(head), None


def pruned_nodes(record: Record) -> tuple[int, ...]:
    """Return the nodes that a constant stands for, without those below them.

    Raises
    ------
    ProtocolError
        If no sequence of looks leads to this record.
    """
    entries = record.tolist()
    nodes = range(2, len(entries))
    fits = record.ndim == 1 and len(entries) >= 2 and len(entries).bit_count() == 1
    if not fits or entries[0] < 0 or entries[1] != 0 or min(entries) < GONE:
        found = f"{record.shape}, {record.size and record.min()} to {record.size and record.max()}"
        msg = f"the record of a head's pruning is damaged: {found}"
        raise ProtocolError(msg)
    for node in nodes:
        if entries[node // 2] == GONE and entries[node] != GONE:
            msg = f"the record of a head's pruning is damaged: node {node} lives below one that was pruned"
            raise ProtocolError(msg)
        if entries[node] == entries[node ^ 1] == GONE and entries[node // 2] != GONE:
            msg = f"the record of a head's pruning is damaged: both children of node {node // 2} were pruned"
            raise ProtocolError(msg)
    return tuple(node for node in nodes if entries[node] == GONE and entries[node // 2] != GONE)


def variation(outputs: Array) -> NDArray[np.float64]:
    """Return the score of subtrees from their outputs ``(subtrees, width, rows)``: 0 for one that is always zero."""
    power = np.mean(outputs.astype(np.float64) ** 2, axis=2).sum(axis=1)
    varying = outputs.var(axis=2, dtype=np.float64).sum(axis=1)
    return np.where(power > 0, varying / np.where(power > 0, power, 1.0), 0.0)


def looked_at(record: Record, scores: Mapping[int, float], threshold: float) -> tuple[Record, tuple[int, ...]]:
    """Return the record after one more look, and the nodes to be pruned now.

    Parameters
    ----------
    record
        The record before it; not changed.
    scores
        Score of each living node but the root.
    threshold
        Scores below it are low.
    """
    after = record.copy()
    for node, score in scores.items():
        after[node] = min(int(after[node]) + 1, PATIENCE) if score < threshold else 0
    pruned: list[int] = []
    for node in sorted(scores, key=lambda n: (n.bit_length(), scores[n], n)):  # large subtrees first, then low scores
        if after[node] >= PATIENCE and after[node ^ 1] != GONE:
            pruned.append(node)
            first, count = node, 1
            while first < len(after):  # the node and everything below it
                after[first : first + count] = GONE
                first, count = 2 * first, 2 * count
    return after, tuple(sorted(pruned))
