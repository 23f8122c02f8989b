"""The flower engine: Flower's own simulation runtime, the one behind ``flwr run``, in this process."""

import logging
import os
import pickle
import signal
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from eafl_flower.core.stopping import Stopped, end_signals
from eafl_flower.engines.answer import Client, call, describe
from eafl_flower.engines.flower_internals import LoadClientAppError, Run, no_telemetry, watched_actors
from eafl_flower.engines.ray_cluster import ONE_THREAD, import_ray, sigterm_kept
from eafl_flower.engines.waiting import LONGEST_POLL_IN_MEMORY_S
from eafl_flower.errors import RunFailedError

LONGEST_FAREWELL_S = 120.0  # for the ServerApp to write a checkpoint after a crash of the runtime


def run_on_flower(
    server_app: ServerApp,
    client_app_factory: Callable[[], Client],
    *,
    num_nodes: int,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
    address: str | None = None,
    verbose: bool = False,
) -> None:
    """Run both apps on Flower's simulation runtime and return when the ServerApp has ended.

    The apps get an empty ``run_config``. Ctrl-C (SIGTERM, SIGHUP) and a crash of the runtime reach the ServerApp at its
    next use of the grid (as ``KeyboardInterrupt`` and ``RunFailedError``), so that it can write a
    checkpoint; Flower alone would leave it waiting for ever. Once the ServerApp has failed, clients
    that still compute are killed. Flower's telemetry stays off. Ray is shut down at the end, also if
    it was running before.

    Parameters
    ----------
    server_app
        Runs in a thread of this process.
    client_app_factory
        Called once in each worker process, returns the ``ClientApp``.
    num_nodes
        Number of nodes.
    num_cpus, num_gpus
        Share of a machine that one client takes while it computes.
    address
        Ray cluster; without it RAY_ADDRESS decides, and without that a cluster is started here.
    verbose
        Show Flower's debug output and that of the workers.

    Raises
    ------
    Exception
        Whatever the ServerApp raises, ``SystemExit`` included.
    RunFailedError
        If the runtime crashes.
    """
    import_ray()
    from flwr.simulation import run_simulation

    stop, finished = _Stop(), threading.Event()
    failures: list[BaseException] = []
    watched = ServerApp()

    with _surroundings(address), _interrupts_to(stop), sigterm_kept(), no_telemetry(), watched_actors() as kill_actors:

        @watched.main()
        def main(grid: Grid, context: Context) -> None:
            try:
                server_app(grid=_StoppableGrid(grid, stop), context=context)
            except BaseException as error:  # Flower would lose a SystemExit and call the run a success
                failures.append(error)
                kill_actors()
            finally:
                finished.set()

        try:
            run_simulation(
                watched,
                _AppOfFactory(client_app_factory),
                num_nodes,
                backend_config={"client_resources": {"num_cpus": num_cpus, "num_gpus": num_gpus}},
                verbose_logging=verbose,
            )
        except Exception as error:
            crash = RunFailedError(f"Flower's simulation runtime ended: {describe(error)}")
            stop.now(crash)
            finished.wait(LONGEST_FAREWELL_S)
            raise crash from error
    if failures:
        raise failures[0]
    if not finished.is_set():
        raise RunFailedError("Flower's simulation runtime ended before the ServerApp did")


@contextmanager
def _interrupts_to(stop: "_Stop") -> Iterator[None]:
    """Send the first Ctrl-C to the ServerApp instead of ending the runtime under it; the second acts as ever.

    SIGTERM and SIGHUP are sent on, too, and ask for the same when they come again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        stop.now(KeyboardInterrupt() if number == signal.SIGINT else Stopped(number))

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, *end_signals())}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop:
    """Tells the ServerApp's thread why there will be no more replies."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reason: BaseException | None = None

    def now(self, reason: BaseException) -> None:
        self._reason = self._reason or reason
        self._event.set()

    def check(self, pause_s: float = 0.0) -> None:
        if self._event.wait(pause_s) and self._reason is not None:
            raise self._reason


class _StoppableGrid(Grid):
    """Flower's grid, able to wait, and raising once the runtime behind it has ended."""

    def __init__(self, grid: Grid, stop: _Stop) -> None:
        self._grid = grid
        self._stop = stop

    def set_run(self, run: Run) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        self._stop.check()
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        self._stop.check()
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self._stop.check()
        return self._grid.pull_messages(message_ids)

    def wait(self, message_ids: Iterable[str], timeout_s: float | None = None) -> list[Message]:
        ids = list(message_ids)
        deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        while ids:
            self._stop.check()
            if replies := list(self._grid.pull_messages(ids)):
                return replies
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            self._stop.check(min(LONGEST_POLL_IN_MEMORY_S, left_s))
        return []

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        open_ids = set(self.push_messages(messages))
        replies: list[Message] = []
        while open_ids and (arrived := self.wait(open_ids, deadline - time.monotonic())):
            open_ids -= {reply.metadata.reply_to_message_id for reply in arrived}
            replies += arrived
        return replies


class _AppOfFactory(ClientApp):
    """Stands for the app that a factory makes. Flower sends the app with every message; this is small."""

    def __init__(self, factory: Callable[[], Client]) -> None:
        super().__init__()
        self._token = uuid.uuid4().hex
        self._pickled: bytes = import_ray().cloudpickle.dumps(factory)

    def __reduce__(self) -> tuple[Any, ...]:
        return _AppInWorker, (self._token, self._pickled)


class _AppInWorker:
    apps: dict[str, Client] = {}  # noqa: RUF012  (one for the process: Flower unpickles this for each message)

    def __init__(self, token: str, pickled: bytes) -> None:
        self._token = token
        self._pickled = pickled

    def __call__(self, message: Message, context: Context) -> Message:
        if self._token not in self.apps:
            try:
                self.apps[self._token] = pickle.loads(self._pickled)()
            except Exception as error:
                raise LoadClientAppError(describe(error)) from error
        return call(self.apps[self._token], message, context)


@contextmanager
def _surroundings(address: str | None) -> Iterator[None]:
    """Environment, warnings and log lines as this engine wants them, and as before afterwards."""
    names = ("RAY_ADDRESS", "PYTHONPATH", *ONE_THREAD)
    before = {name: os.environ.get(name) for name in names}
    os.environ["RAY_ADDRESS"] = address or os.environ.get("RAY_ADDRESS") or "local"
    os.environ.update(ONE_THREAD)
    logger = logging.getLogger("flwr")
    logger.addFilter(_not_about_run_simulation)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Tip: In future versions of Ray", category=FutureWarning)
            yield
    finally:
        logger.removeFilter(_not_about_run_simulation)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _not_about_run_simulation(record: logging.LogRecord) -> bool:
    return not (str(record.msg).startswith("DEPRECATED FEATURE") and "run_simulation" in str(record.args))
