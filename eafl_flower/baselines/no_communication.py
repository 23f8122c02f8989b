"""The baseline without federation: what each client reaches alone."""

from collections.abc import Mapping

from eafl_flower.baselines.measuring import Phases
from eafl_flower.core.rng import generator
from eafl_flower.core.threads import one_thread
from eafl_flower.heads.blocks import why_not
from eafl_flower.heads.memory import NO_MEMORY, train_job
from eafl_flower.heads.newcomer import fitting_steps
from eafl_flower.protocols import DataSource, Task


def no_communication(
    task: Task,
    source: DataSource,
    epochs: Mapping[int, int],
    *,
    seed: int,
    local_epochs: int = 1,
    unseen_steps: int = 50,
) -> dict[str, float]:
    """Return the scores of clients that train alone, named as in a federated run.

    Every seen client trains its own complete model, backbone and personal head, from the initial arrays of
    the run, for as many local epochs as it made in the federated run and in jobs of the same length (the
    optimiser starts afresh in each, or keeps its memory, as there); ``accuracy-before`` is its accuracy then,
    ``accuracy-after`` that after one job more. An unseen client trains all layers from the initial arrays for at most
    ``unseen_steps``, as far as its rows bear it out (``heads.newcomer.fitting_steps``), or for all of them where they
    cannot tell: ``accuracy-unseen``. Each score is averaged over clients as its task says.

    Parameters
    ----------
    task, source
        Model and rows.
    epochs
        Local epochs that each seen client made in the run to compare with; 0 where missing.
    seed
        Seed of that run: same initial arrays, same shuffling.
    local_epochs
        Epochs of one job.
    unseen_steps
        The most steps of an unseen client.
    """
    one_thread()
    initial = task.init(generator(seed, "init"))
    phases = Phases(task.scores)
    for client in range(source.num_clients):
        rows = source.partition(client)
        start = task.personalise(initial, rows, generator(seed, "personalise", client), client=client)
        if client < source.num_seen:
            model, remaining, counter, memory = start, epochs.get(client, 0), 0, NO_MEMORY
            while remaining > 0:
                counter += 1
                rng = generator(seed, "train", client, counter)
                job = min(local_epochs, remaining)
                model, _, memory = train_job(task, model, rows, rng, memory, epochs=job)
                remaining -= local_epochs
            rng = generator(seed, "after", client)
            after, _, _ = train_job(task, model, rows, rng, memory, epochs=local_epochs)
            models = {"before": model, "after": after}
        else:
            how = {"seed": seed, "client": client, "steps": unseen_steps, "first_trained": 0}
            length = 0 if why_not(rows.y_train) else fitting_steps(task, start, rows, **how)
            model, _ = task.train(start, rows, generator(seed, "unseen", client), steps=length or unseen_steps)
            models = {"unseen": model}
        for phase, arrays in models.items():
            phases.add(phase, task.evaluate(arrays, rows)[1], len(rows.y_test))
    return phases.means()
