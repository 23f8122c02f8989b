"""The model of a client that never trained."""

from eafl_flower.core.rng import generator
from eafl_flower.protocols import Task
from eafl_flower.types import Arrays, Rows


def fresh_head(
    task: Task, shared: Arrays, initial: Arrays, rows: Rows, *, seed: int, client: int, steps: int
) -> Arrays:
    """Return the complete model of a client that never trained: a fresh head, fitted on the frozen backbone.

    Parameters
    ----------
    task
        The task.
    shared, initial
        The federated arrays, and the initial ones of the complete model.
    rows
        The client's rows; the head is fitted to the training rows.
    seed, client
        They decide the random numbers.
    steps
        Length of the fit in batches.
    """
    backbone = shared[: task.num_backbone]
    model = backbone + initial[len(backbone) :]
    model = task.personalise(model, rows, generator(seed, "personalise", client), client=client)
    rng = generator(seed, "unseen", client)
    return task.train(model, rows, rng, steps=steps, first_trained=len(backbone))[0]
