"""The model of a client that never trained: the fleet's head, adapted as far as the client's own rows bear it out."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from eafl_flower.core.rng import generator
from eafl_flower.heads.fresh import fresh_head
from eafl_flower.protocols import Task
from eafl_flower.types import Array, Arrays, Rows

BLOCKS = 5
FEWEST_ROWS = 2 * BLOCKS
SHARES = (0.0, 0.1, 0.2, 0.5, 1.0)  # of the steps
STANDARD_ERRORS = 2.0  # by which adapting has to lower the loss


class Newcomer(NamedTuple):
    """A complete model, for how many steps it was trained, and what to tell of that, if anything."""

    model: Arrays
    steps: int
    told: str


def has_fleets_head(task: Task, initial: Arrays) -> bool:
    """Return whether a head travels beside private ones, so that whoever has none of its own can go by it."""
    return task.num_backbone < task.num_shared < len(initial)


def newcomer(
    task: Task, shared: Arrays, initial: Arrays, rows: Rows, *, seed: int, client: int, steps: int
) -> Newcomer:
    """Return the complete model of a client that never trained.

    Where a head travels beside private ones it is that head, ``adapted``; else a ``fresh_head``. The parameters are
    those of these two.
    """
    if has_fleets_head(task, initial):
        return adapted(task, shared, rows, seed=seed, client=client, steps=steps)
    return Newcomer(fresh_head(task, shared, initial, rows, seed=seed, client=client, steps=steps), steps, "")


def adapted(task: Task, shared: Arrays, rows: Rows, *, seed: int, client: int, steps: int) -> Newcomer:
    r"""Return the fleet's model with a copy of its head tuned to the client's training rows, on the frozen backbone.

    How far is decided as the client would have seen it: its rows, in their order, are cut into five blocks, and each
    but the first is predicted after 0, 10, 20, 50 and 100 % of ``steps`` on those before it. With :math:`d_b(t)` the
    mean change of the loss on block b after t steps,

    .. math:: t^* = \arg\min_t \bar d(t) \quad\text{among}\quad \bar d(t) < -2\,\mathrm{SE}_b\bigl(d_b(t)\bigr),

    or 0 where there is none: then the client goes by the fleet's head as it is. Blocks that come later, not folds at
    random, because what a vehicle does in its first minutes may not last. So it does with fewer rows than ten, or with
    rows of one class, which say nothing about how to tell it from others.

    Parameters
    ----------
    task
        A task with a federated head beside the private ones.
    shared
        The federated arrays.
    rows
        The client's rows; only the training rows are looked at.
    seed, client
        They decide the random numbers.
    steps
        The longest adapting, in batches.
    """
    x, y, frozen = rows.x_train, rows.y_train, task.num_backbone
    if len(y) < FEWEST_ROWS:
        return _as_it_is(
            shared, f"of {len(y)} labelled rows it cannot tell whether adapting helps, only of {FEWEST_ROWS}"
        )
    if len(np.unique(y)) < 2:
        return _as_it_is(shared, f"all its {len(y)} labelled rows are of one class")
    own = shared + shared[frozen:]
    counts = sorted({round(share * steps) for share in SHARES})
    block = np.arange(len(y)) * BLOCKS // len(y)
    changes = np.empty((len(counts), BLOCKS - 1))
    for number in range(1, BLOCKS):
        before, now = block < number, block == number
        model, rng, losses = own, generator(seed, "newcomer", client, number), [_loss(task, own, x[now], y[now])]
        part = Rows(x_train=x[before], y_train=y[before], x_test=x[:0], y_test=y[:0])
        for done, until in pairwise(counts):
            model, _ = task.train(model, part, rng, steps=until - done, first_trained=frozen)
            losses.append(_loss(task, model, x[now], y[now]))
        changes[:, number - 1] = np.array(losses) - losses[0]
    mean = changes.mean(axis=1)
    error = changes.std(axis=1, ddof=1) / (BLOCKS - 1) ** 0.5
    best = int(np.where(mean < -STANDARD_ERRORS * error, mean, 0.0).argmin())
    if not counts[best]:
        return _as_it_is(shared, "adapting would not have helped on its labelled rows")
    model, _ = task.train(own, rows, generator(seed, "newcomer", client), steps=counts[best], first_trained=frozen)
    return Newcomer(model, counts[best], f"adapted the fleet's head for {counts[best]} steps")


def _as_it_is(shared: Arrays, why: str) -> Newcomer:
    return Newcomer(shared, 0, f"goes by the fleet's head as it is: {why}")


def _loss(task: Task, model: Arrays, x: Array, y: Array) -> float:
    """Return the mean cross-entropy."""
    p = task.predict(model, x)[np.arange(len(y)), y]
    return float(-np.log(np.maximum(p, np.finfo(np.float32).tiny)).mean())
