"""One thread for client code, so that sums do not depend on the machine or on the engine."""

import sys

import threadpoolctl

_done: set[str] = set()


def one_thread() -> None:
    """Limit numpy's BLAS, and torch if it is loaded, to one thread for the rest of the process.

    Set once: entering and leaving ``threadpool_limits`` takes about a millisecond, several times as
    long as a small client trains.
    """
    if "blas" not in _done:
        threadpoolctl.threadpool_limits(1, user_api="blas")
        _done.add("blas")
    if "torch" not in _done and (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
        _done.add("torch")


def keep_to_one_thread() -> None:
    """Hold what was imported since to ``one_thread``, if the process is held to it."""
    if _done:
        one_thread()
