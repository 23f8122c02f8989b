"""How idle clients get their next jobs: drawn one after the other, each asked about at the scheduler."""

from collections.abc import Callable, Iterator
from typing import NoReturn

from eafl_flower.core.rng import generator
from eafl_flower.errors import RunFailedError
from eafl_flower.runs.jobs import IdleClients, Job
from eafl_flower.runs.state import Run


def first_order(run: Run) -> list[int]:
    """Return the order in which clients that are all idle at the start become so: shuffled where it matters."""
    clients = run.trainers
    if isinstance(run.jobs.idle, IdleClients):
        return clients
    order = generator(run.options.seed, "select", "first").permutation(len(clients))
    return [clients[place] for place in order]


def new_jobs(run: Run, *, now_s: Callable[[], float], ends_s: Callable[[int], float]) -> Iterator[Job]:
    """Make jobs for idle clients: as many as may be in flight, or with a barrier a new round when the last is over.

    A client for whom the scheduler has nothing is idle again afterwards, behind the others, and asked about anew when
    something has happened. Who asks to stop gets no more jobs, but a round that has begun has all of its own: a resume
    adds none to it.

    Parameters
    ----------
    run
        The run; it is to send each job before it asks for the next.
    now_s
        Tells the time [s].
    ends_s
        Tells when a job of this client that begins now is over, answered or not [s].
    """
    jobs = run.jobs
    if run.plan.barrier and len(jobs):
        return
    aside: list[int] = []
    while len(jobs) < run.in_flight and len(jobs.idle) and (run.plan.barrier or not run.mail.interrupted):
        client = jobs.draw_idle()
        job = run.offer(client, now_s(), ends_s(client))
        if job is None:
            aside.append(client)
        else:
            yield job
    for client in aside:
        jobs.idle.add(client)


def fail_without_orders(run: Run) -> NoReturn:
    """Raise ``RunFailedError``: no job is open, and the scheduler has none to give."""
    msg = (
        f"{type(run.options.scheduler).__name__} has no order for any of the {len(run.jobs.idle)} clients that are "
        f"there, and no job is open: nothing will ever happen; {run.made}"
    )
    raise RunFailedError(msg)
