"""Somebody else's codec and aggregator run like ours, and a part of ours is a file and a line."""

import logging
import sys
from contextlib import closing
from dataclasses import replace

import pytest
from somebody_elses import MODULE, PRESET, install

from eafl_flower.app.client import client_app
from eafl_flower.app.experiment import run_experiment
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.config.parts import GROUPS
from eafl_flower.config.run_config import declared
from eafl_flower.core.events import Fanout
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import CheckpointError
from eafl_flower.results.run_directory import RunDirectory


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install(tmp_path / "site"))
    monkeypatch.setattr(logging.getLogger("flwr"), "level", logging.WARNING)
    (tmp_path / "toy.toml").write_text(PRESET)
    yield RunConfig.from_toml(tmp_path / "toy.toml")
    for module in [name for name in sys.modules if name.partition(".")[0] == "somebody"]:
        del sys.modules[module]


def hash_of(config):
    experiment = resolve(config)
    return train(experiment, InlineGrid(client_app(experiment), experiment.source.num_clients)).arrays_sha256()


def test_a_preset_with_both_runs_and_its_settings_count(toy, tmp_path):
    run_dir = RunDirectory.create_at(tmp_path / "run")
    run_dir.write_config(toy.to_toml())
    with closing(Fanout([run_dir.log])) as observer:
        summary = run_experiment(resolve(toy), run_dir=run_dir, observer=observer, engine="inline")
    assert summary["merges"] == 12
    assert RunConfig.from_toml(run_dir.config_path) == toy
    assert run_dir.settings()["codec.coarse.step"] == 0.001
    run_dir.check_config(summary["config_sha256"])
    with pytest.raises(CheckpointError, match="was changed after its run"):
        run_dir.check_config("of something else")
    assert summary["arrays_sha256"] == hash_of(toy)
    others = [
        {"codec.coarse.step": 0.01},
        {"strategy.somebody.parts:Damped.share": 0.5},
        {"staleness.name": "constant"},
    ]
    hashes = {hash_of(toy.replace(other)) for other in others}
    assert len(hashes | {summary["arrays_sha256"]}) == 4


def test_a_client_app_finds_them_in_what_flower_hands_out_with_every_message(toy):
    experiment = resolve(toy)
    flat = declared() | toy.to_flat()  # as Flower merges them
    grid = InlineGrid(client_app(), experiment.source.num_clients, run_config=flat)
    assert train(experiment, grid).arrays_sha256() == hash_of(toy)


def test_a_run_is_resumed_only_with_the_settings_of_somebody_elses_part(toy, tmp_path):
    run_dir = RunDirectory.create_at(tmp_path / "run")
    many = toy.replace({"checkpoint.every": 5})
    other = resolve(many.replace({"codec.coarse.step": 0.5}))
    with closing(Fanout([run_dir.log])) as observer:
        run_experiment(resolve(many), run_dir=run_dir, observer=observer, engine="inline")
        with pytest.raises(CheckpointError, match=r"with other settings \(codec.coarse.step: 0.001 -> 0.5\)"):
            run_experiment(other, run_dir=run_dir, observer=observer, engine="inline", resume=True)


def test_a_part_of_ours_is_a_file_and_a_line(toy, tmp_path, monkeypatch):
    (tmp_path / "site" / "coarse.py").write_text(MODULE)
    table = replace(GROUPS["codec"], parts={**GROUPS["codec"].parts, "toy": "coarse:Coarse"})
    monkeypatch.setitem(GROUPS, "codec", table)
    config = RunConfig().replace({"codec.name": "toy", "codec.toy.step": 0.25})
    assert config.to_flat()["codec.toy.step"] == 0.25
