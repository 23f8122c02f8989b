"""Processes that really die while others' parts decide: a scheduler, a method of messages, a shared link."""

import json
import multiprocessing
import signal
import sys
import time
from pathlib import Path

import pytest

from eafl_flower.core.rng import generator


@pytest.fixture
def processes():
    """Processes that start with everything imported, and share nothing with this one."""
    sys.path.insert(0, str(Path(__file__).parent))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_orders"])
    yield context
    sys.path.remove(str(Path(__file__).parent))


def lines_in(folder):
    path = folder / "lines.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    "codec", [*(pytest.param(name, marks=pytest.mark.long) for name in ("plain", "int8")), "lqgcm"]
)
@pytest.mark.parametrize("kind", ["full", "message"])
def test_orders_messages_and_overlapping_uploads_survive_a_kill(tmp_path, processes, kind, codec):
    import killed_orders

    def start(folder, resume):
        process = processes.Process(target=killed_orders.work, args=(kind, codec, str(folder), resume))
        process.start()
        return process

    undisturbed = tmp_path / "undisturbed"
    first = start(undisturbed, resume=False)
    first.join()
    assert first.exitcode == 0
    expected, told = json.loads((undisturbed / "found.json").read_text()), lines_in(undisturbed)
    # from the first checkpoint on, and far enough from the end that the process cannot outrun its killer
    for place in generator(5, "kills", kind, codec).choice(range(40, told * 2 // 3), 2, replace=False):
        folder = tmp_path / str(place)
        process = start(folder, resume=False)
        while process.is_alive() and lines_in(folder) < place:
            time.sleep(0.0002)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it was killed"
        assert not (folder / "found.json").exists()
        resumed = start(folder, resume=True)
        resumed.join()
        assert resumed.exitcode == 0
        assert json.loads((folder / "found.json").read_text()) == expected, place
