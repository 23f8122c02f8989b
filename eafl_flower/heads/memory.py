"""A local job with what the client's optimiser remembers of the one before, where the task lets clients keep that."""

from types import MappingProxyType
from typing import Final

import numpy as np

from eafl_flower.protocols import KeepsMemory, Memory, Task
from eafl_flower.types import Arrays, Rows

NO_MEMORY: Final[Memory] = MappingProxyType({})


def is_kept(task: Task) -> bool:
    """Return whether clients keep what the optimiser of ``task`` remembers between their jobs."""
    return isinstance(task, KeepsMemory) and task.keeps_memory


def train_job(
    task: Task, arrays: Arrays, rows: Rows, rng: np.random.Generator, memory: Memory, *, epochs: int
) -> tuple[Arrays, float, Memory]:
    """Train for one job and return arrays, loss and what is to be kept: nothing, unless the task keeps its memory.

    The parameters are those of ``KeepsMemory.train_on``, which raises what it does.
    """
    if isinstance(task, KeepsMemory) and task.keeps_memory:
        return task.train_on(arrays, rows, rng, memory, epochs=epochs)
    return *task.train(arrays, rows, rng, epochs=epochs), NO_MEMORY
