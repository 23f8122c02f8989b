"""The baseline without borders: the same network on all training rows in one place."""

from collections.abc import Mapping

import numpy as np

from eafl_flower.baselines.measuring import Phases
from eafl_flower.core.rng import generator
from eafl_flower.core.threads import one_thread
from eafl_flower.heads.newcomer import adapted
from eafl_flower.protocols import DataSource, Task
from eafl_flower.types import Arrays, Rows


def pooled(
    task: Task,
    source: DataSource,
    epochs: Mapping[int, int],
    *,
    seed: int,
    local_epochs: int = 1,
    unseen_steps: int = 50,
) -> dict[str, float]:
    r"""Return the scores of one model that was trained on the rows of all clients, named as in a federated run.

    The ceiling of what one shared model could reach: nothing is lost between clients, and no step is stale.
    The network starts from the initial arrays of the run and is trained with the settings of its local jobs (rate,
    decay, batch size) on the training rows of all clients that train, shuffled together, for

    .. math:: S = \sum_k E_k \left\lceil \frac{n_k}{B} \right\rceil

    steps: as many as all clients made together in the updates that were merged, with :math:`E_k` local epochs on
    :math:`n_k` rows in batches of :math:`B`. A local epoch of two phases, head then backbone, counts once, because each
    array takes as many steps in it as in one pass that trains both together, which is what the pool does. What differs
    from the run: all steps follow on each other; batches are full, where those of a small client are not; an optimiser
    with memory keeps it, where every job starts afresh unless clients keep theirs. The last state is scored: at a rate
    at which it swings, a run that serves an average may come out above it.

    Where heads are private, the pool has one head for everybody: the median in size of those that the clients start
    with. Then a client's own head may know it better than the pool does, and *before* is no ceiling.

    The phases are those of the run. ``accuracy-before``: the pooled model on each seen client's test rows;
    ``accuracy-after``: after one job of that client more, all arrays being its own; ``accuracy-unlabelled``: the pooled
    model on an unseen client's test rows; ``accuracy-unseen``: with the pool's head adapted to its training rows for
    at most ``unseen_steps``, as far as these bear it out (``heads.newcomer.adapted``).

    Parameters
    ----------
    task, source
        Model and rows.
    epochs
        Local epochs that each seen client made in the run to compare with; 0 where missing.
    seed
        Seed of that run: same initial arrays.
    local_epochs
        Epochs of one job.
    unseen_steps
        The most steps of an unseen client.
    """
    one_thread()
    initial = task.init(generator(seed, "init"))
    model = _with_common_head(task, source, initial, seed=seed)
    if steps := steps_of(task, source, epochs):
        model, _ = task.train(model, pool_of(source), generator(seed, "pooled"), steps=steps)
    phases = Phases(task.scores)
    for client in range(source.num_clients):
        rows = source.partition(client)
        if client < source.num_seen:
            after, _ = task.train(model, rows, generator(seed, "after", client), epochs=local_epochs)
            models = {"before": model, "after": after}
        else:
            own = adapted(task, model, model, rows, seed=seed, client=client, steps=unseen_steps).model
            models = {"unlabelled": model, "unseen": own}
        for phase, arrays in models.items():
            phases.add(phase, task.evaluate(arrays, rows)[1], len(rows.y_test))
    return phases.means()


def steps_of(task: Task, source: DataSource, epochs: Mapping[int, int]) -> int:
    """Return how many steps all clients made together in so many local epochs each."""
    return sum(count * -(-len(source.partition(client).y_train) // task.batch_size) for client, count in epochs.items())


def pool_of(source: DataSource) -> Rows:
    """Return the training rows of all clients that train, in the order of the clients, and no test rows."""
    parts = [source.partition(client) for client in range(source.num_seen)]
    x, y = np.concatenate([p.x_train for p in parts]), np.concatenate([p.y_train for p in parts])
    return Rows(x_train=x, y_train=y, x_test=x[:0], y_test=y[:0])


def _with_common_head(task: Task, source: DataSource, initial: Arrays, *, seed: int) -> Arrays:
    """Return the complete initial model with the median in size of the heads that the seen clients start with."""
    if task.num_shared == len(initial):
        return initial
    models = [
        task.personalise(initial, source.partition(client), generator(seed, "personalise", client), client=client)
        for client in range(source.num_seen)
    ]
    return sorted(models, key=lambda model: sum(array.size for array in model))[len(models) // 2]
