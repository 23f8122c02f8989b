"""The model of a client that never trained: the fleet's head, adapted as far as the client's own rows bear it out."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from eafl_flower.core.rng import generator
from eafl_flower.heads.blocks import best, blocks_of, why_not
from eafl_flower.heads.fresh import fresh_head
from eafl_flower.protocols import Task
from eafl_flower.types import Arrays, Rows

SHARES = (0.0, 0.1, 0.2, 0.5, 1.0)  # of the steps


class Newcomer(NamedTuple):
    """A complete model, for how many steps it was trained, and what to tell of that, if anything.

    ``unjudged`` says why its rows could not tell whether adapting helps; "" if they could.
    """

    model: Arrays
    steps: int
    told: str
    unjudged: str = ""


def has_fleets_head(task: Task) -> bool:
    """Return whether a head travels, so that whoever has none of its own can go by it."""
    return task.num_backbone < task.num_shared


def newcomer(
    task: Task, shared: Arrays, initial: Arrays, rows: Rows, *, seed: int, client: int, steps: int
) -> Newcomer:
    """Return the complete model of a client that never trained.

    Where a head travels it is that head, ``adapted``; else a ``fresh_head``, or, without a labelled row, one that was
    never fitted. The parameters are those of these two.
    """
    if not has_fleets_head(task):
        if not len(rows.y_train):
            backbone = shared[: task.num_backbone]
            why = "without a labelled row no head can be fitted"
            return Newcomer(backbone + initial[len(backbone) :], 0, f"goes by a head that says nothing: {why}", why)
        return Newcomer(fresh_head(task, shared, initial, rows, seed=seed, client=client, steps=steps), steps, "")
    own = shared if task.num_shared == len(initial) else shared + shared[task.num_backbone :]
    return adapted(task, shared, own, rows, seed=seed, client=client, steps=steps)


def adapted(task: Task, fleets: Arrays, own: Arrays, rows: Rows, *, seed: int, client: int, steps: int) -> Newcomer:
    """Return the fleet's model with its head tuned to the client's training rows, on the frozen backbone.

    How far is what ``fitting_steps`` says. With fewer rows than ten, or with rows of one class, which say nothing about
    how to tell it from others, the client goes by the fleet's head as it is.

    Parameters
    ----------
    task
        The task.
    fleets
        The fleet's model, as whoever has no head of its own goes by it.
    own
        The same as a complete model, whose head may be trained.
    rows
        The client's rows; only the training rows are looked at.
    seed, client
        They decide the random numbers.
    steps
        The longest adapting, in batches.
    """
    if why := why_not(rows.y_train):
        return Newcomer(fleets, 0, f"goes by the fleet's head as it is: {why}", why)
    frozen = task.num_backbone
    length = fitting_steps(task, own, rows, seed=seed, client=client, steps=steps, first_trained=frozen)
    if not length:
        return Newcomer(fleets, 0, "goes by the fleet's head as it is: adapting would not have helped on its rows")
    model, _ = task.train(own, rows, generator(seed, "newcomer", client), steps=length, first_trained=frozen)
    return Newcomer(model, length, f"adapted the fleet's head for {length} steps")


def fitting_steps(
    task: Task, model: Arrays, rows: Rows, *, seed: int, client: int, steps: int, first_trained: int
) -> int:
    """Return for how many steps a model is to be trained on a client's rows, 0 if that would not have helped.

    Candidates are 10, 20, 50 and 100 % of ``steps``, judged by ``heads/blocks.py``; the first one whose mean loss is
    not below that of the one before ends the search. The parameters are those of ``adapted``.
    """
    x, y = rows.x_train, rows.y_train
    blocks = blocks_of(len(y))
    models, rngs = [model] * len(blocks), [generator(seed, "newcomer", client, b) for b in range(1, 1 + len(blocks))]
    start = np.array([_loss(task, model, rows, block.now) for block in blocks])
    lengths: list[int] = []
    changes: list[np.ndarray] = [np.zeros(len(blocks))]
    for done, until in pairwise(sorted({round(share * steps) for share in SHARES})):
        for place, block in enumerate(blocks):
            part = Rows(x_train=x[block.before], y_train=y[block.before], x_test=x[:0], y_test=y[:0])
            models[place], _ = task.train(
                models[place], part, rngs[place], steps=until - done, first_trained=first_trained
            )
        lengths.append(until)
        changes.append(np.array([_loss(task, m, rows, b.now) for m, b in zip(models, blocks, strict=True)]) - start)
        if not changes[-1].mean() < changes[-2].mean():
            break
    found = best(np.array(changes[1:]).reshape(len(lengths), len(blocks)))
    return 0 if found is None else lengths[found]


def _loss(task: Task, model: Arrays, rows: Rows, which: np.ndarray) -> float:
    """Return the mean loss on some of the training rows."""
    x, y = rows.x_train, rows.y_train
    return task.evaluate(model, Rows(x_train=x[:0], y_train=y[:0], x_test=x[which], y_test=y[which]))[0]
