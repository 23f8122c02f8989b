"""The measuring functions of the experiments of EAFL-ALP run, and mean what their names say."""

import pytest

from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from experiments.eafl_alp import measure

SETTINGS = {
    "data.clients": 8,
    "data.unseen": 2,
    "task.name": "fractal",
    "task.fractal.head": "private",
    "task.fractal.head-sizes": "0x16",
    "codec.name": "float32",
    "strategy.merges": 12,
    "evaluate.every": 6,
    "results.baselines": "none",
    "clients.slowdown": "1,2,4",
    "strategy.concurrency": 3,
}
PHASES = {"before", "after", "unseen"}


@pytest.fixture(scope="module")
def config():
    return RunConfig.from_toml("emam").replace(SETTINGS)


def test_a_run_is_measured(config):
    found = measure.federated(config)
    assert set(found) >= PHASES
    assert all(0 <= found[phase] <= 1 for phase in PHASES)
    assert found["uploads"] == found["merges"] == 12
    assert found["saved"]["payload"] < 0 < found["virtual_time_s"]  # frames around float32 save nothing
    assert [merge for merge, *_ in found["curve"]] == [0, 6, 12]
    assert {(depth, width) for depth, width, _ in found["heads"]} == {(0, 16)}
    assert set(found["slowest"]) == {"before", "after"}
    assert found["data"]["clients"] == 8


def test_beside_a_run_stands_what_needs_none(config):
    found = measure.exact_and_alone(config)
    for row in ("none", "none, longer", "frozen"):
        assert set(found[row]) == PHASES
    for row in ("majority", "lookup"):
        assert set(found[row]) == {*PHASES, "unlabelled"}


def test_the_pool_takes_as_many_steps_as_all_clients(config):
    found = measure.pooled_rows(config)
    workload = resolve(config).workload
    batches = {-(-len(workload.source.partition(c).y_train) // workload.task.batch_size) for c in range(6)}
    assert set(found) >= PHASES
    assert set(found["exact"]) == PHASES
    assert found["steps"] == 12 * workload.local_epochs * batches.pop()
    assert not batches  # all have as many rows


def test_boosting_knows_all_rows_and_adapts_to_nobody(config):
    found = measure.boosted_rows(config)
    assert 0.5 < found["before"] == found["after"] <= 1
    assert found["unlabelled"] == found["unseen"]


@pytest.mark.parametrize("head", ["private", "both", "federated"])
def test_every_kind_of_head_is_measured(config, head):
    found = measure.federated(config.replace({"task.fractal.head": head}))
    assert set(found) >= PHASES
    assert ("unlabelled" in found) == (head != "private")
    assert bool(found["heads"]) == (head != "federated")
