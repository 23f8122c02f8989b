"""The folders of presets and node configurations are also doors to the classes of the package."""

import importlib
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["strategies", "clients"])
def test_a_door_gives_the_same_objects_as_the_package(name, monkeypatch):
    monkeypatch.syspath_prepend(CHECKOUT)
    door, package = importlib.import_module(name), importlib.import_module(f"eafl_flower.{name}")
    assert Path(door.__file__ or "").parent == CHECKOUT / name
    assert sorted(door.__all__) == sorted(package.__all__)
    for public in package.__all__:
        assert getattr(door, public) is getattr(package, public)


def test_the_asynchronous_strategy_is_one_class(monkeypatch):
    monkeypatch.syspath_prepend(CHECKOUT)
    door, package = importlib.import_module("strategies"), importlib.import_module("eafl_flower.strategies")
    assert door.AsyncEMAM is package.AsyncEMAM
    assert door.EMAM is package.EMAM


def test_node_configurations_name_distinct_partitions_and_folders():
    nodes = [tomllib.loads(path.read_text()) for path in sorted((CHECKOUT / "clients").glob("*.toml"))]
    assert [node["partition-id"] for node in nodes] == list(range(len(nodes)))
    assert {node["num-partitions"] for node in nodes} == {len(nodes)}
    assert len({node["state-dir"] for node in nodes}) == len(nodes)


def test_flower_reads_a_node_configuration_from_its_path():
    from flwr.common.config import parse_config_args

    path = CHECKOUT / "clients" / "rsu-1.toml"
    assert parse_config_args([str(path)]) == tomllib.loads(path.read_text())
