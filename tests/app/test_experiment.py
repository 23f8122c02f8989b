import json
import logging
from collections import Counter

import pytest
from toy_federation import Recorder

from eafl_flower.app import baselines, experiment
from eafl_flower.app.baselines import baselines_beside, exact_config
from eafl_flower.app.client import client_app
from eafl_flower.app.experiment import run_config, run_experiment
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Fanout
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import ConfigError, RunFailedError
from eafl_flower.results.run_directory import RunDirectory

SMALL = {
    **{"data.clients": 6, "data.unseen": 2, "data.idm.rows-per-client": 32, "task.tabular.hidden": "8,8"},
    **{"strategy.merges": 40, "results.baselines": "cheap"},
}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(logging.getLogger("flwr"), "level", logging.WARNING)


def run_in(path, **settings):
    config = RunConfig.from_flat({**SMALL, **settings})
    run_dir = RunDirectory.create_at(path)
    run_dir.write_config(config.to_toml())
    observer = Fanout([run_dir.log])
    try:
        return run_experiment(resolve(config), run_dir=run_dir, observer=observer, engine="inline"), run_dir
    finally:
        observer.close()


def test_a_run_leaves_model_events_and_a_summary_of_what_happened(tmp_path):
    summary, run_dir = run_in(tmp_path / "run")
    assert json.loads(run_dir.summary_path.read_text()) == summary
    merged = [e for e in run_dir.events() if e["event"] == "merge"]
    assert (summary["merges"], summary["uploads"], len(merged)) == (40, 40, 40)
    assert summary["uplink_bytes"] == sum(e["uplink_bytes"] for e in merged)
    assert summary["energy_j"] == pytest.approx(sum(e["energy_j"] for e in merged))
    assert summary["accuracy"].keys() == {"before", "after", "unseen"}
    assert summary["baselines"]["majority"].keys() == {"before", "after", "unlabelled", "unseen"}
    assert summary["baselines"]["exact"] is None
    assert [len(a) for a in run_dir.model().values()] == [8, 8, 8, 8]  # two layers; the heads stay where they are


def test_a_run_from_python_is_that_of_the_command_line_and_prints_nothing(tmp_path, capfd):
    config = RunConfig.from_flat({**SMALL, "results.dir": str(tmp_path / "runs")})
    found = run_config(config)
    assert found.path.parent == tmp_path / "runs"
    assert RunConfig.from_toml(found.config_path) == config
    plain, _ = run_in(tmp_path / "run")
    for same in ("arrays_sha256", "order_sha256", "config_sha256", "baselines"):
        assert found.summary()[same] == plain[same]
    assert capfd.readouterr().out == ""


def test_a_run_from_python_that_cannot_begin_leaves_no_directory(tmp_path):
    no_such = {"stop.metric": "nonsense-before", "stop.target": 1.0, "evaluate.every": 10}
    config = RunConfig.from_flat({**SMALL, **no_such, "results.dir": str(tmp_path / "runs")})
    with pytest.raises(ConfigError, match="nonsense"):
        run_config(config)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_directory_of_any_name_will_do(tmp_path):
    plain, _ = run_in(tmp_path / "run")
    strange, run_dir = run_in(tmp_path / "-- ein Lauf, größer als alle #7 --")
    assert strange["arrays_sha256"] == plain["arrays_sha256"]
    assert len(list(run_dir.state_dir.iterdir())) == 1


def test_training_for_the_comparison_changes_nothing(tmp_path):
    alone, _ = run_in(tmp_path / "a", **{"results.baselines": "none"})
    beside, _ = run_in(tmp_path / "b", **{"results.baselines": "all"})
    assert beside["arrays_sha256"] == alone["arrays_sha256"]
    assert beside["baselines"]["exact"].keys() == {"before", "after", "unseen"}
    assert beside["baselines"]["no_communication"].keys() == {"before", "after", "unseen"}
    assert beside["baselines"]["pooled"].keys() == {"before", "after", "unlabelled", "unseen"}


def test_baselines_that_would_train_for_longer_than_the_run_are_left_out_and_said_to_be(monkeypatch):
    monkeypatch.setattr(baselines, "SHORT_S", 0.0)
    run = resolve(RunConfig.from_flat({**SMALL, "results.baselines": "auto"}))
    beside = baselines_beside(run, merges=40, wall_s=0.0)
    assert [name for name, scores in beside.found.items() if scores] == ["majority", "lookup"]
    assert set(beside.left_out) == {"no_communication", "exact", "pooled"}
    assert all("longer than the run; --baselines all adds them" in reason for reason in beside.left_out.values())
    beside = baselines_beside(run, merges=40, wall_s=1e6)
    assert (all(beside.found.values()), beside.left_out) == (True, {})


def test_exact_updates_are_merged_as_often_as_ours_also_if_a_budget_ended_the_run(tmp_path, monkeypatch):
    compared = []

    def remember(of, *arguments, **options):
        run = train(of, *arguments, **options)
        compared.append(run.version)
        return run

    monkeypatch.setattr(experiment, "train", remember)
    monkeypatch.setattr(baselines, "train", remember)
    summary, _ = run_in(tmp_path / "run", **{"results.baselines": "all", "stop.bytes": 5_000, "checkpoint.every": 5})
    ours, exact = compared
    assert 0 < ours == exact == summary["merges"] < 40


@pytest.mark.parametrize("scheduler", ["fixed", "until-enough"])
def test_baselines_make_as_many_epochs_as_clients_did(tmp_path, monkeypatch, scheduler):
    """As many as an order said, or as a client reported that decided itself; the usual number is another one."""
    told, given = Recorder(), {}

    def remember(*arguments, observer, **options):
        return train(*arguments, observer=Fanout([observer, told]), **options)

    for name in ("no_communication", "pooled"):
        monkeypatch.setattr(baselines, name, lambda task, source, epochs, **_: given.update(epochs) or {})
    monkeypatch.setattr(baselines, "train", remember)
    run_in(tmp_path, **{"results.baselines": "all", "scheduler.name": scheduler, "task.local-epochs": 2})
    made = Counter()
    for event in told.of("merge"):
        made[event["client"]] += event["metrics"].get("epochs", 5)
    assert given == made


def test_the_run_with_exact_updates_depends_on_the_merges_made_and_not_on_why_they_ended():
    stopped = RunConfig.from_flat(
        {**SMALL, "evaluate.every": 5, "stop.metric": "accuracy-before", "stop.target": 0.5, "stop.energy-j": 1}
    )
    plain = RunConfig.from_flat({**SMALL, "strategy.merges": 7})
    assert exact_config(stopped, merges=7) == exact_config(plain, merges=7)
    assert exact_config(stopped, merges=7) != exact_config(stopped, merges=8)


def test_one_client_alone_is_a_run(tmp_path):
    one = {"data.clients": 1, "data.unseen": 0, "strategy.concurrency": 1, "strategy.merges": 3}
    assert run_in(tmp_path / "run", **one)[0]["merges"] == 3


def test_another_number_of_nodes_ends_at_once_with_the_command_that_is_right():
    config = RunConfig.from_flat(SMALL)
    with pytest.raises(RunFailedError, match=r"has 7 nodes, the run expects 6; start it with: flwr run \. .*num-s"):
        train(resolve(config), InlineGrid(client_app(resolve(config)), 7))
