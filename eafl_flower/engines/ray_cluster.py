"""The connection to Ray: which cluster, how many workers fit, and what their processes need."""

import os
import signal
import site
import socket
import sys
import sysconfig
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from eafl_flower.errors import ConfigError

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


def import_ray() -> ModuleType:
    """Return the module ``ray``, or say how to install it."""
    try:
        import ray
    except ImportError as error:
        raise ImportError("the ray engine needs Ray: pip install 'eafl-flower[simulation]'") from error
    return ray


def connect(address: str | None, *, verbose: bool) -> bool:
    """Connect this process to Ray unless it is connected; return whether this call did it.

    Without ``address``, the environment variable RAY_ADDRESS decides, and without that a new local
    cluster is started. Ray itself would then look for files of earlier clusters in its temporary
    folder and attach to whatever they name.
    """
    ray = import_ray()
    if ray.is_initialized():
        return False
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    arguments: dict[str, Any] = {} if verbose else {"logging_level": "ERROR", "log_to_driver": False}
    if address == "local":
        arguments["include_dashboard"] = False
    _check_reachable(address)
    with warnings.catch_warnings(), sigterm_kept():
        # A tip about a future default, shown once a process; nothing a user of ours could act on.
        warnings.filterwarnings("ignore", message="Tip: In future versions of Ray", category=FutureWarning)
        try:
            ray.init(address=address, **arguments)
        except ConnectionError as error:
            raise ConfigError(
                f"no Ray cluster answers at {address!r}: {error}; use 'local' to start one here"
            ) from error
    return True


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Let Ray, where it starts in this block, leave the handler of SIGTERM to who has set one.

    Its own, in Python, ends the process at once with status 1; what it does before that is also done when the process
    exits. Its other one, in C++, aborts the process 3 s after the signal.
    """
    ours = signal.getsignal(signal.SIGTERM)
    if ours == signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield
        return
    ray: Any = import_ray()
    theirs, init = ray._private.utils.set_sigterm_handler, ray.init

    def init_and_set_ours(*args: Any, **options: Any) -> Any:
        try:
            return init(*args, **options)
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, ours)

    ray._private.utils.set_sigterm_handler, ray.init = lambda handler: None, init_and_set_ours
    try:
        yield
    finally:
        ray._private.utils.set_sigterm_handler, ray.init = theirs, init


def _check_reachable(address: str) -> None:
    """Fail within seconds where Ray would try for ten minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not port.isdigit():
        return  # "local" and "auto" are not places
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> ConfigError:
    return ConfigError(f"no Ray cluster answers at {address!r} ({error}); 'local' starts one here")


def capacity(num_cpus: float, num_gpus: float) -> int:
    """Return how many workers fit into the cluster, counted machine by machine.

    Raises
    ------
    ConfigError
        If not even one fits.
    """
    nodes = [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
    total = sum(
        min(
            # 1e-6: three workers of a third of a CPU fit, whatever the rounding
            int(resources.get(kind, 0.0) / share + 1e-6)
            for kind, share in (("CPU", num_cpus), ("GPU", num_gpus))
            if share > 0
        )
        for resources in nodes
    )
    if total == 0:
        machines = "; ".join(f"{r.get('CPU', 0):g} CPUs and {r.get('GPU', 0):g} GPUs" for r in nodes)
        raise ConfigError(
            f"a client needs {num_cpus:g} CPUs and {num_gpus:g} GPUs, more than any machine of the Ray cluster has "
            f"({machines}): lower engine.num-cpus or engine.num-gpus"
        )
    return total


def worker_environment() -> dict[str, str]:
    """Environment of worker processes: arithmetic with one thread, and this process's import path.

    The import path is what this process has beyond its installation, so that a source checkout (and a
    script beside it) can be imported also by workers on a second machine that has it in the same place.
    """
    paths = sysconfig.get_paths()
    installed = {paths["stdlib"], paths["platstdlib"], f"{paths['platstdlib']}/lib-dynload"}
    installed |= {*site.getsitepackages(), site.getusersitepackages()}
    own = dict.fromkeys(os.path.abspath(entry or ".") for entry in sys.path)
    path = os.pathsep.join(entry for entry in own if entry not in installed and os.path.isdir(entry))
    return {**ONE_THREAD, "PYTHONPATH": path}
