"""Processes that really die: SIGKILL at random merges."""

import multiprocessing
import signal
import sys
from pathlib import Path

import pytest
from ended_runs import MERGES, SETTINGS, SMALL, events_of, merges_in, summary_of, wait_until

from eafl_flower.core.rng import generator

KILLS = 2  # of each kind of run
# heads sized by the clients' rows, and pruned
PERSONAL = {
    **{
        "data.idm.rows-per-client": 72,
        "task.name": "fractal",
        "task.learning-rate": 0.02,
        "task.fractal.prune-threshold": 0.3,
    },
    "codec.name": "lqgcm",
}
# uploads that overlap, and take about as long as the computation
CELL_FREE = {
    **{"codec.name": "emq", "radio.name": "cell-free", "radio.cell-free.speed-m-s": 14.0},
    **{"radio.cell-free.bandwidth-hz": 180e3, "radio.cell-free.noise-dbm": -114.5},
}


@pytest.fixture
def processes():
    """Processes that start with everything imported, and share nothing with this one."""
    sys.path.insert(0, str(Path(__file__).parent))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run", "torch", "eafl_flower.data.sets.idm", "eafl_flower.tasks.fractal"])
    yield context
    sys.path.remove(str(Path(__file__).parent))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    "special",
    [
        pytest.param({**SMALL, "codec.name": "int8"}, id="int8", marks=pytest.mark.long),
        pytest.param({**SMALL, "codec.name": "lqgcm"}, id="lqgcm", marks=pytest.mark.long),
        pytest.param(PERSONAL, id="personal"),
        pytest.param({**SMALL, **CELL_FREE}, id="cell-free"),
    ],
)
def test_runs_killed_at_random_merges_end_as_if_nothing_had_happened(tmp_path, processes, special):
    """With private heads, and with codecs that remember: error feedback, or predictions and what clients hold."""
    import killed_run

    settings = {**SETTINGS, **special}

    def start(folder, resume):
        # the same name of the directory in each case: it is the name of the run
        process = processes.Process(target=killed_run.work, args=(settings, str(folder), resume))
        process.start()
        return process

    undisturbed = tmp_path / "undisturbed" / "run"
    first = start(undisturbed, resume=False)
    first.join()
    assert first.exitcode == 0
    expected, told = summary_of(undisturbed), events_of(undisturbed)
    assert expected["lost"] > 0
    places = sorted(
        int(k)
        for k in generator(7, "kills", settings["codec.name"]).choice(range(11, MERGES - 20), KILLS, replace=False)
    )
    for place in places:
        folder = tmp_path / str(place) / "run"
        process = start(folder, resume=False)
        wait_until(lambda folder=folder, place=place: merges_in(folder) >= place, process.is_alive)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it was killed"
        assert not (folder / "summary.json").exists()
        resumed = start(folder, resume=True)
        resumed.join()
        assert resumed.exitcode == 0
        summary = summary_of(folder)
        for key in ("arrays_sha256", "order_sha256", "energy_j", "uplink_bytes", "downlink_bytes", "accuracy", "lost"):
            assert summary[key] == expected[key], (place, key)
        assert events_of(folder) == told
