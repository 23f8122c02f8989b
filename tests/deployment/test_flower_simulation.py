"""`flwr run` on Flower's own simulation runtime gives the arrays of the inline engine, or says what to type.

Flower runs in an environment without eafl-flower: what runs there is the app bundle.
"""

import pytest
from empty_environment import make_environment
from federation import copy_app
from local_flower import LocalFlower
from somebody_elses import PRESET, install

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.results.run_directory import RunDirectory

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def flower(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulation")
    copy_app(folder / "eafl-flower")
    site = install(folder / "site")  # a package of somebody else, as if it were installed
    with LocalFlower(folder, scripts=make_environment(folder / "environment"), site=site) as flower:
        yield flower


def run(flower, config, *, num_nodes):
    """Run our app with this configuration and return status and log."""
    path = flower.folder / "job.toml"
    path.write_text(config.to_toml())
    return flower.run(flower.folder / "eafl-flower", num_nodes=num_nodes, run_config=path)


def short(results):
    """The main job, shortened: five clients that train, three at a time, and one that does not."""
    size = {"data.clients": 6, "data.unseen": 1, "strategy.concurrency": 3, "strategy.merges": 20}
    return RunConfig.from_toml("emam").replace({**size, "results.baselines": "none", "results.dir": str(results)})


def test_flwr_run_gives_the_arrays_of_the_inline_engine(flower, tmp_path):
    config = short(tmp_path / "runs")
    status, log = run(flower, config, num_nodes=6)
    assert status == "finished:completed", log
    (path,) = (tmp_path / "runs").iterdir()
    summary = RunDirectory.open(path).summary()
    inline = train(resolve(config), InlineGrid(client_app(resolve(config)), 6))
    assert summary["arrays_sha256"] == inline.arrays_sha256()
    assert (summary["engine"], summary["merges"]) == ("flower", 20)


def test_somebody_elses_codec_and_aggregator_give_the_arrays_of_the_inline_engine(flower, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(flower.folder / "site")
    (tmp_path / "toy.toml").write_text(PRESET)
    config = RunConfig.from_toml(tmp_path / "toy.toml").replace({"results.dir": str(tmp_path / "runs")})
    status, log = run(flower, config, num_nodes=6)
    assert status == "finished:completed", log
    (path,) = (tmp_path / "runs").iterdir()
    summary = RunDirectory.open(path).summary()
    experiment = resolve(config)
    assert summary["arrays_sha256"] == train(experiment, InlineGrid(client_app(experiment), 6)).arrays_sha256()
    assert RunConfig.from_toml(path / "config.toml") == config


def test_another_number_of_nodes_fails_at_once_with_the_command_in_the_log(flower, tmp_path):
    status, log = run(flower, short(tmp_path / "runs"), num_nodes=3)
    assert status == "finished:failed"
    assert 'flwr run . --federation-config "num-supernodes=6 client-resources-num-cpus=1"' in log
    assert not list((tmp_path / "runs").glob("*/summary.json"))
