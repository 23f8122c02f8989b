"""What the benchmarks of wires share: a SuperLink with the app of `wires-app`, nodes in one process, and jobs."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / "deployment"), str(HERE.parent / "tests")]  # for `federation`, `processes`

from federation import CHECKOUT, NAME, Federation, copy_app  # noqa: E402
from processes import descendants  # noqa: E402

POLL = "FLWR_SUPEREXEC_TASK_POLL_INTERVAL"  # Flower's own; its default is a second
LONGEST_S = 1200.0  # for one job

__all__ = ["POLL", "Federation", "descendants", "job", "start_light", "started", "submit", "wait"]


@contextmanager
def started(folder: Path) -> Iterator[Federation]:
    """Start a SuperLink at which nodes register themselves, with both apps beside it."""
    with Federation(folder / "federation") as federation:
        shutil.copytree(
            HERE / "wires-app", federation.folder / "wires-app", ignore=shutil.ignore_patterns("__pycache__")
        )
        copy_app(federation.folder / "eafl-flower")
        federation.env["PYTHONPATH"] = str(CHECKOUT)
        del federation.env[POLL]
        federation.start_superlink(keys=False)
        yield federation


def start_light(federation: Federation, count: int, *, poll_s: float) -> None:
    address = f"127.0.0.1:{federation.fleet}"
    federation.start("light-0", "python", HERE / "light_nodes.py", address, federation.ca, count, "--poll-s", poll_s)


def job(federation: Federation, settings: dict[str, Any]) -> dict[str, Any]:
    """Run the app with these settings and return what its ServerApp has written."""
    out = federation.folder / "out.json"
    out.unlink(missing_ok=True)
    path = federation.folder / "wires.toml"
    everything = settings | {"out": str(out)}
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in everything.items()))
    submit(federation, federation.folder / "wires-app", path)
    wait(federation, out.exists)
    took: dict[str, Any] = json.loads(out.read_text())
    print(settings, {key: took[key] for key in ("updates", "wall_s", "cpu_s")}, flush=True)
    return took


def submit(federation: Federation, app: Path, run_config: Path) -> None:
    """Submit a run; no other may be under way."""
    federation.wait_until(lambda: not federation.server_apps(), LONGEST_S, "the ServerApp before has not ended")
    for left in reversed(range(3)):
        try:
            federation.flwr("run", app, NAME, "--run-config", run_config, timeout_s=300)
            break
        except AssertionError:  # flwr gives a SuperLink five seconds to shake hands, and a loaded machine takes longer
            if not left or federation.server_apps():
                raise
    federation.wait_until(federation.server_apps, 300, "no ServerApp begins")


def wait(federation: Federation, done: Any) -> None:
    """Wait until a job is done; asked by its files, for ``flwr list`` costs seconds of CPU."""
    deadline = time.monotonic() + LONGEST_S
    while not done():
        if time.monotonic() > deadline or not federation.server_apps():
            time.sleep(1)
            if not done():
                raise RuntimeError(f"the job has ended without results\n{federation.logs()}")
        time.sleep(0.5)
