"""Presets, their packaged copies, and the settings that Flower knows of."""

import re
import tomllib
from pathlib import Path

import pytest

from eafl_flower.aggregation.emam import EMAM
from eafl_flower.aggregation.staleness import Exponential
from eafl_flower.config import RunConfig, run_config
from eafl_flower.config.files import flat, read_toml

CHECKOUT = Path(__file__).parents[2]
PRESETS = sorted((CHECKOUT / "strategies").glob("*.toml"))
RECORDED = ["ngsim", "unsw"]
ALP = ["alp-geolife", "alp-iot-devices", "alp-ngsim", "alp-ton-weather", "alp-unsw"]
OTHERS = ["emam-cell-free", "emq", *RECORDED, *ALP]
EXPECTED = [
    "async-v2x",
    "emam",
    "emam-cell-free",
    "emam-paper",
    "fedasync",
    "fedavg",
    "fedbuff",
    "sync-batch",
    *RECORDED,
    *ALP,
]


def declared() -> dict[str, object]:
    app = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    return flat(app["config"])


def test_the_promised_presets_exist():
    assert set(EXPECTED) <= {path.stem for path in PRESETS}


def test_pyproject_declares_every_setting_with_its_default():
    defaults = run_config.declared()
    found = declared()
    assert found == defaults, "run scripts/sync-config"
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in defaults.items()}


def test_packaged_presets_are_the_files_of_the_folder():
    packaged = {path.name: path.read_text() for path in (CHECKOUT / "eafl_flower" / "presets").iterdir()}
    assert packaged == {path.name: path.read_text() for path in PRESETS}, "run scripts/build"


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_uses_only_declared_keys_and_is_valid(path):
    keys = set(read_toml(path)[0])
    assert keys <= set(declared())
    config = RunConfig.from_toml(path)
    assert config.name == path.stem
    assert config == RunConfig.from_toml(path.stem)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_names_its_number_of_nodes_and_its_command(path):
    comment = path.read_text().split("\nname =")[0].splitlines()
    assert all(line.startswith("# ") for line in comment)
    (nodes,) = re.findall(r"N = (\d+) nodes", "\n".join(comment))
    clients = RunConfig.from_toml(path).data.clients
    assert int(nodes) == (clients or int(nodes))  # 0: as many as the file of the data set has
    options = f'"num-supernodes={nodes} client-resources-num-cpus=1"'
    assert f"# flwr run . --run-config strategies/{path.name} --federation-config {options}" in comment


def test_the_paper_preset_has_the_published_constants():
    config = RunConfig.from_toml("emam-paper")
    assert config.strategy.part == EMAM(alpha=0.8, beta=0.2, mu=0.95, norm_guard=0.0)
    assert config.staleness.part == Exponential(0.002)


def test_the_v2x_preset_has_slow_vehicles_and_churn():
    config = RunConfig.from_toml("async-v2x")
    assert (min(config.clients.slowdown), max(config.clients.slowdown)) == (1.0, 16.0)
    assert (config.churn.on_job_times, config.churn.off_job_times) == (20.0, 5.0)


def test_presets_that_are_compared_share_data_task_and_payloads():
    configs = [RunConfig.from_toml(name) for name in EXPECTED if name not in OTHERS]
    assert len({(config.data, config.task, config.codec, config.seed) for config in configs}) == 1
