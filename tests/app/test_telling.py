"""A whole run tells what its settings say, as text or as JSON; a sink in trouble changes nothing of it."""

import json
import logging
import re

import pytest
from flwr.app import Context, RecordDict
from threaded_grid import ThreadedGrid

from eafl_flower.app.client import client_app
from eafl_flower.app.experiment import run_in_server_app
from eafl_flower.app.resolving import resolve
from eafl_flower.cli import main as cli
from eafl_flower.clients import compression
from eafl_flower.config import RunConfig, parse_overrides
from eafl_flower.engines import waiting
from eafl_flower.engines.flower_log import log, log_through
from eafl_flower.errors import ConfigError
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.sinks import table
from eafl_flower.runs.loop import wall_time

SMALL = (
    "data.clients=4",
    "data.unseen=1",
    "data.idm.rows-per-client=24",
    "strategy.merges=12",
    "task.tabular.hidden=4",
    "strategy.concurrency=2",
)


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*settings, code=0):
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["run", "emam", "--baselines", "none", "--set", *SMALL, *settings])
        assert (ended.value.code or 0) == code
        return capfd.readouterr()

    return run


def only_run(folder):
    (path,) = folder.iterdir()
    return RunDirectory.open(path)


def test_a_run_without_a_codec_is_not_told_that_one_was_forgotten(run):
    compression._warn_of_plain_arrays.cache_clear()
    told = run("codec.name=none")
    assert "12 merges" in told.out
    assert "plain arrays" not in told.out + told.err


def test_with_json_every_line_is_an_object(run, tmp_path):
    lines = [json.loads(line) for line in run("results.log-format=json").out.splitlines()]
    kinds = [line["event"] for line in lines]
    assert (kinds[0], kinds[-1]) == ("note", "summary")
    assert {"start", "evaluate", "stop"} <= set(kinds)
    assert lines[-1]["arrays_sha256"] == only_run(tmp_path / "runs").summary()["arrays_sha256"]


def test_a_tracker_that_fails_is_said_once_and_the_run_has_its_results(run, tmp_path, monkeypatch):
    def unreachable(about):
        raise ConnectionError("the tracking server does not answer")

    monkeypatch.setattr(table, "TRACKERS", {"mlflow": ("json", unreachable)})
    told = run("results.sinks=mlflow")
    assert told.out.count("mlflow is left out from here on, the run goes on: the tracking server does not answer") == 1
    assert only_run(tmp_path / "runs").summary()["merges"] == 12


def test_a_tracker_that_is_not_installed_ends_the_start_with_one_line_and_leaves_no_run(run, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    told = run("results.sinks=tensorboard", code=1)
    assert (
        told.err
        == "error: results.sinks = \"tensorboard\" needs tensorboardX: pip install 'eafl-flower[tensorboard]'\n"
    )
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_server_app_tells_how_the_run_stands_and_whoever_waits_gets_its_exit_status(
    tmp_path, monkeypatch, capsys, log_format
):
    monkeypatch.setattr(wall_time, "NODE_POLL_S", 0.02)
    monkeypatch.setattr(wall_time, "REPLY_POLL_S", 0.02)
    monkeypatch.setattr(waiting, "LONGEST_POLL_NETWORK_S", 0.005)
    told = {"results.dir": str(tmp_path / "runs"), "results.log-format": log_format, "results.status-every-s": 1e-6}
    config = RunConfig().replace(parse_overrides([*SMALL, "data.unseen=0", "results.baselines=none"])).replace(told)
    grid = ThreadedGrid(client_app(resolve(config)), 4)
    context = Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config=config.to_flat())
    try:
        run_in_server_app(grid, context)
    finally:
        grid.close()
    out = capsys.readouterr().out
    if log_format == "json":
        status = [line for line in map(json.loads, out.splitlines()) if line["event"] == "status"][-1]
        assert (status["there"], status["away"], status["merges_planned"]) == (4, 0, 12)
    else:
        assert re.search(r"^\d\d:\d\d:\d\dZ  \d+/12 merges.*in flight  4 nodes there", out, re.MULTILINE)
    with pytest.raises(SystemExit) as ended:
        cli.main(["status", str(tmp_path / "runs" / "emam"), "--wait"])
    assert (ended.value.code or 0) == 0
    assert "finished: 12 merges made" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            {"results.sinks": "tensorboard,nope"},
            'expected "tensorboard", "mlflow" or "wandb", several separated by commas',
        ),
        ({"results.metrics-address": "here"}, 'results.metrics-address = "here": expected a port from 1 to 65535'),
        ({"results.metrics-address": "host:0"}, "expected a port"),
        ({"results.metrics-address": ":9464"}, "expected a port"),
        ({"results.metrics-address": "::1:9464"}, "expected a port"),
        ({"results.status-every-s": -1.0}, "expected a number of at least 0"),
        ({"results.log-format": "xml"}, 'expected "text" or "json"'),
    ],
)
def test_wrong_settings_are_named(setting, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_flat(setting)


def test_what_is_told_changes_no_result():
    told = {"results.sinks": "wandb,mlflow", "results.metrics-address": "[::1]:9464", "results.log-format": "json"}
    assert RunConfig.from_flat(told).decisive() == RunConfig().decisive()
    assert RunConfig.from_flat(told).results.sinks == ("wandb", "mlflow")


def test_flowers_log_is_handed_on_line_by_line_and_is_its_own_again_afterwards():
    before, said = logging.getLogger("flwr").handlers[:], []
    with log_through(lambda text, level: said.append((text, level))):
        log(logging.WARNING, "client %d has lost its state", 3)
        log(logging.DEBUG, "nobody asked")
    assert said == [("client 3 has lost its state", "warning")]
    assert logging.getLogger("flwr").handlers == before
