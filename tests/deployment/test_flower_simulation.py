"""`flwr run` on Flower's own simulation runtime gives the arrays of the inline engine, or says what to type."""

import json
import os
import subprocess
import time

import pytest
from federation import BIN, command_line, copy_app, descendants, environment, free_ports, kill_all
from somebody_elses import PRESET, install

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.results.run_directory import RunDirectory

pytestmark = pytest.mark.slow


class LocalFlower:
    """`flwr` with the SuperLink that it starts itself for simulations and leaves running."""

    def __init__(self, folder):
        self.folder = folder  # a neutral one: from the checkout, Ray's workers would import the package of the checkout
        self.port, control = free_ports(2)
        self.site = install(folder / "site")  # a package of somebody else, as if it were installed
        self.env = environment(folder / "home") | {
            "PYTHONPATH": str(self.site),
            "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(self.port),
            "FLWR_LOCAL_CONTROL_API_PORT": str(control),
            "RAY_ADDRESS": "local",
        }
        (folder / "home").mkdir(parents=True)
        (folder / "home" / "config.toml").write_text(
            '[superlink]\ndefault = "local"\n\n[superlink.local]\naddress = ":local:"\n'
        )
        copy_app(folder / "eafl-flower")

    def flwr(self, *arguments):
        command = [str(BIN / "flwr"), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, config, *, num_nodes):
        """Run to the end and return status and log."""
        path = self.folder / "job.toml"
        path.write_text(config.to_toml())
        options = f"num-supernodes={num_nodes} client-resources-num-cpus=1"
        submitted = self.flwr(
            "run", "eafl-flower", "--run-config", path, "--federation-config", options, "--format", "json"
        )
        run_id = json.loads(submitted)["run-id"]
        deadline = time.monotonic() + 120
        while not (status := self.status(run_id)).startswith("finished") and time.monotonic() < deadline:
            time.sleep(1)
        return status, self.flwr("log", run_id, "--show")

    def status(self, run_id):
        (found,) = json.loads(self.flwr("list", "--run-id", run_id, "--format", "json"))["runs"]
        return found["status"]

    def stop(self):
        """End the SuperLink, found by its port."""
        daemons = [int(name) for name in os.listdir("/proc") if name.isdigit() and self._is_ours(int(name))]
        kill_all([*daemons, *(child for daemon in daemons for child in descendants(daemon))])

    def _is_ours(self, pid):
        words = command_line(pid).split()
        return "--simulation" in words and ["--port", str(self.port)] in [words[i : i + 2] for i in range(len(words))]


@pytest.fixture(scope="module")
def flower(tmp_path_factory):
    flower = LocalFlower(tmp_path_factory.mktemp("simulation"))
    yield flower
    flower.stop()


def short(results):
    """The main job, shortened: five clients that train, three at a time, and one that does not."""
    size = {"data.clients": 6, "data.unseen": 1, "strategy.concurrency": 3, "strategy.merges": 20}
    return RunConfig.from_toml("emam").replace({**size, "results.baselines": "none", "results.dir": str(results)})


def test_flwr_run_gives_the_arrays_of_the_inline_engine(flower, tmp_path):
    config = short(tmp_path / "runs")
    status, log = flower.run(config, num_nodes=6)
    assert status == "finished:completed", log
    (path,) = (tmp_path / "runs").iterdir()
    summary = RunDirectory.open(path).summary()
    inline = train(resolve(config), InlineGrid(client_app(resolve(config)), 6))
    assert summary["arrays_sha256"] == inline.arrays_sha256()
    assert (summary["engine"], summary["merges"]) == ("flower", 20)


def test_somebody_elses_codec_and_aggregator_give_the_arrays_of_the_inline_engine(flower, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(flower.site)
    (tmp_path / "toy.toml").write_text(PRESET)
    config = RunConfig.from_toml(tmp_path / "toy.toml").replace({"results.dir": str(tmp_path / "runs")})
    status, log = flower.run(config, num_nodes=6)
    assert status == "finished:completed", log
    (path,) = (tmp_path / "runs").iterdir()
    summary = RunDirectory.open(path).summary()
    experiment = resolve(config)
    assert summary["arrays_sha256"] == train(experiment, InlineGrid(client_app(experiment), 6)).arrays_sha256()
    assert RunConfig.from_toml(path / "config.toml") == config


def test_another_number_of_nodes_fails_at_once_with_the_command_in_the_log(flower, tmp_path):
    status, log = flower.run(short(tmp_path / "runs"), num_nodes=3)
    assert status == "finished:failed"
    assert 'flwr run . --federation-config "num-supernodes=6 client-resources-num-cpus=1"' in log
    assert not list((tmp_path / "runs").glob("*/summary.json"))
