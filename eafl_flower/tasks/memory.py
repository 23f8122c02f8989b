"""What an optimiser of ours remembers, as named arrays such as ``head.adam.mean``, and how it goes on with them."""

from collections.abc import Mapping

import numpy as np

from eafl_flower.errors import ProtocolError
from eafl_flower.protocols import Memory
from eafl_flower.tasks.backend import Backend
from eafl_flower.tasks.optimizers import Optimizer
from eafl_flower.types import Array


def memory_of(optimizers: Mapping[str, Optimizer], backend: Backend) -> dict[str, Array]:
    """Return what ``optimizers`` remember, by the name of the part that each trains."""
    found: dict[str, Array] = {}
    for part, optimizer in optimizers.items():
        if optimizer.vectors:
            prefix = f"{part}.{optimizer.name}"
            found[f"{prefix}.steps"] = np.array([optimizer.num_steps], np.int64)
            for name, vector in zip(optimizer.remembers, optimizer.vectors, strict=True):
                found[f"{prefix}.{name}"] = backend.get(vector)
    return found


def recall(memory: Memory, optimizers: Mapping[str, Optimizer], sizes: Mapping[str, int], backend: Backend) -> None:
    """Let ``optimizers`` that have made no step go on with ``memory``, which is copied.

    A part of which nothing is remembered begins afresh.

    Parameters
    ----------
    memory
        What ``memory_of`` returned.
    optimizers, sizes
        By the name of a part of the model the optimiser that trains it, and the number of its parameters.
    backend
        Where to compute.

    Raises
    ------
    ProtocolError
        If the memory does not fit them.
    """
    left = dict(memory)
    wrong: list[str] = []
    for part, optimizer in optimizers.items():
        names = [f"{part}.{optimizer.name}.{name}" for name in ("steps", *optimizer.remembers)]
        found = [left.pop(name) for name in names if name in left]
        if not found:
            continue
        kinds = [(np.dtype(np.int64), (1,)), *((np.dtype(np.float32), (sizes[part],)) for _ in optimizer.remembers)]
        if [(array.dtype, array.shape) for array in found] != kinds or found[0][0] < 1:
            wrong.append(f'that of part "{part}": expected {", ".join(names)} of {sizes[part]} parameters')
            continue
        steps, *vectors = found
        optimizer.num_steps = int(steps[0])
        optimizer.vectors = tuple(backend.put(np.array(vector)) for vector in vectors)
    if left:
        wrong.append(f"unknown {', '.join(sorted(left)[:4])}")
    if wrong:
        msg = (
            f"what the optimiser remembers does not fit the task ({'; '.join(wrong)}): was another task or optimiser "
            "trained here? let the client begin afresh"
        )
        raise ProtocolError(msg)
