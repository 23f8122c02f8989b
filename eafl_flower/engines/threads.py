"""One thread for the arithmetic of clients, so that sums do not depend on the engine or the machine."""

import sys

from threadpoolctl import threadpool_limits

_limited: set[str] = set()


def one_thread() -> None:
    """Hold BLAS, OpenMP and torch of this process at one thread from now on; later calls are cheap.

    The order in which several threads add up a sum is not fixed, so a client gives the same bits on
    every engine only with one thread. Parallelism comes from clients that compute side by side.
    """
    if "blas" not in _limited:
        threadpool_limits(1)
        _limited.add("blas")
    if "torch" in sys.modules and "torch" not in _limited:
        sys.modules["torch"].set_num_threads(1)
        _limited.add("torch")
