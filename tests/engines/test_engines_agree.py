"""One seed gives the same events, order and arrays on every engine, at any parallelism, whatever happens to workers.

With private heads, churn, slow clients and both kinds of codec: whole arrays as int8, and differences on top of
what went before.
"""

import os
import signal

import pytest
from flwr.serverapp import ServerApp

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.engines import InlineGrid, RayGrid
from eafl_flower.results.summary import order_digest
from eafl_flower.runs.keeping import autosave

pytestmark = pytest.mark.slow

FEW = {
    **{"data.clients": 8, "data.unseen": 2, "strategy.merges": 60, "strategy.concurrency": 4, "evaluate.every": 25},
    **{"churn.on-job-times": 8.0, "churn.off-job-times": 3.0, "clients.slowdown": "1,4", "results.baselines": "none"},
}
INT8 = RunConfig.from_flat({**FEW, "data.idm.rows-per-client": 32, "task.tabular.hidden": "8,8"})
CELL_FREE = {
    **{"codec.name": "emq", "radio.name": "cell-free", "radio.cell-free.speed-m-s": 14.0},
    **{"radio.cell-free.bandwidth-hz": 180e3, "radio.cell-free.noise-dbm": -114.5},
}
CONFIGS = {
    "radio-map": RunConfig.from_toml("radio-map").replace(FEW),
    "lqgcm": INT8.replace({"codec.name": "lqgcm"}),
    "cell-free": INT8.replace(CELL_FREE),
}
NUM_NODES = 8


class Recorder:
    def __init__(self, act=None):
        self.events, self.act = [], act

    def write(self, event):
        self.events.append(dict(event))
        if self.act is not None:
            self.act(event)

    def close(self):
        pass


def outcome(config, grid, recorder=None, **options):
    """Everything that must agree: hashes, events without wall times, scores, energy."""
    recorder = recorder or Recorder()
    run = train(resolve(config), grid, observer=recorder, **options)
    told = [{k: v for k, v in e.items() if not k.endswith("wall_s")} for e in recorder.events]
    order = order_digest(e for e in told if e["event"] == "merge")
    return run.arrays_sha256(), order, told, run.client_scores, run.ledger.total(), run.tally


@pytest.fixture(
    scope="module",
    params=["lqgcm", *(pytest.param(name, marks=pytest.mark.long) for name in ("radio-map", "cell-free"))],
)
def config(request):
    return CONFIGS[request.param]


@pytest.fixture(scope="module")
def app(config):
    return lambda: client_app(resolve(config))


@pytest.fixture(scope="module")
def expected(config, app):
    assert resolve(config).source.num_clients == NUM_NODES
    result = outcome(config, InlineGrid(app(), NUM_NODES))
    assert result[-1].lost > 0
    return result


@pytest.mark.usefixtures("one_ray")
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_gives_what_inline_gives(config, app, expected, workers):
    with RayGrid(app, NUM_NODES, num_cpus=0.5, workers=workers) as grid:
        assert outcome(config, grid) == expected


@pytest.mark.usefixtures("one_ray")
def test_workers_killed_during_the_run_change_nothing(config, expected, tmp_path):
    def leaving_its_pid():
        (tmp_path / str(os.getpid())).touch()
        return client_app(resolve(config))

    killed = []

    def kill_one(event):
        if event["event"] == "merge" and event["merge"] in (15, 30):
            pid = next(int(path.name) for path in tmp_path.iterdir() if int(path.name) not in killed)
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    with RayGrid(leaving_its_pid, NUM_NODES, num_cpus=0.5, workers=2) as grid:
        assert outcome(config, grid, Recorder(kill_one)) == expected
    assert len(killed) == 2
    assert len(list(tmp_path.iterdir())) > 2  # they were replaced


@pytest.mark.usefixtures("one_ray")
def test_checkpoints_that_nobody_asked_for_change_nothing(config, app, expected, tmp_path, monkeypatch):
    """One before every step, on any engine."""
    monkeypatch.setattr(autosave, "EVERY_S", 0.0)
    monkeypatch.setattr(autosave, "WRITING_TIMES", 0.0)
    path = tmp_path / "server.safetensors"
    with RayGrid(app, NUM_NODES, workers=2) as grid:
        assert outcome(config, grid, checkpoint=path) == expected
    assert path.exists()
    assert outcome(config, InlineGrid(app(), NUM_NODES), checkpoint=path) == expected


@pytest.mark.usefixtures("ray_leftovers")
def test_flowers_own_runtime_gives_what_inline_gives(config, app, expected):
    results, server_app = [], ServerApp()

    @server_app.main()
    def main(grid, context):
        results.append(outcome(config, grid))

    from eafl_flower.engines.flower import run_on_flower

    run_on_flower(server_app, app, num_nodes=NUM_NODES, num_cpus=0.5)
    assert results == [expected]


@pytest.mark.usefixtures("ray_leftovers")
def test_a_ray_cluster_of_two_nodes_gives_what_inline_gives(config, app, expected):
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        with RayGrid(app, NUM_NODES, address=cluster.address) as grid:
            assert outcome(config, grid) == expected
            assert len({node["NodeID"] for node in ray.nodes() if node["Alive"]}) == 2
    finally:
        ray.shutdown()
        cluster.shutdown()
