"""A local job with what the client's optimiser remembers of the one before, where the task lets clients keep that."""

from types import MappingProxyType
from typing import Final, TypeGuard

import numpy as np

from eafl_flower.conforming import asked_once
from eafl_flower.protocols import KeepsMemory, Memory, Task
from eafl_flower.types import Arrays, Rows

NO_MEMORY: Final[Memory] = MappingProxyType({})
_can_keep: Final = asked_once(KeepsMemory)


def can_keep(task: Task) -> TypeGuard[KeepsMemory]:
    """Return whether training of ``task`` can go on with what its optimiser remembers."""
    return _can_keep(task)


def is_kept(task: Task) -> TypeGuard[KeepsMemory]:
    """Return whether clients keep what the optimiser of ``task`` remembers between their jobs."""
    return can_keep(task) and task.keeps_memory


def train_job(
    task: Task, arrays: Arrays, rows: Rows, rng: np.random.Generator, memory: Memory, *, epochs: int
) -> tuple[Arrays, float, Memory]:
    """Train for one job and return arrays, loss and what is to be kept: nothing, unless the task keeps its memory.

    The parameters are those of ``KeepsMemory.train_on``, which raises what it does.
    """
    if is_kept(task):
        return task.train_on(arrays, rows, rng, memory, epochs=epochs)
    return *task.train(arrays, rows, rng, epochs=epochs), NO_MEMORY
