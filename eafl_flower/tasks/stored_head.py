"""The structure of a private head of a fractal network, read from its arrays alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eafl_flower.errors import ProtocolError
from eafl_flower.heads.pruning import pruned_nodes, split_record
from eafl_flower.heads.size import BACKBONE_WIDTH, LARGEST, HeadSize
from eafl_flower.models.fractal import Fractal
from eafl_flower.types import Array


def head_of(size: HeadSize, num_classes: int) -> Fractal:
    """Return the structure of an unpruned head."""
    return Fractal(BACKBONE_WIDTH, size.width, size.depth, num_classes)


def structure_of(head: Sequence[Array], num_classes: int) -> Fractal:
    """Return the structure of a head's arrays, of any size and however pruned; the record of pruning is none of them.

    Raises
    ------
    ProtocolError
        If they are no head with so many classes.
    """
    arrays, record = split_record(head)
    depth = (len(arrays) // 4).bit_length() - 1 if record is None else record.size.bit_length() - 2
    width = arrays[-2].shape[1] if len(arrays) > 2 and arrays[-2].ndim == 2 else 0
    if 0 <= depth <= LARGEST.depth and 1 <= width <= LARGEST.width:
        pruned = () if record is None else pruned_nodes(record)
        structure = replace(head_of(HeadSize(depth, width), num_classes), pruned=pruned)
        if tuple(a.shape for a in arrays) == structure.shapes and all(a.dtype == np.float32 for a in arrays):
            return structure
    msg = (
        f"the stored head has arrays {[f'{a.dtype} {a.shape}' for a in head]}: expected a tree on "
        f"{BACKBONE_WIDTH} features with a classifier of {num_classes} classes; is it of the same task?"
    )
    raise ProtocolError(msg)
