"""A run goes on only with the settings and the data it was started with."""

import json
import logging
import shutil
import time
from types import SimpleNamespace

import pytest
from flwr.app import Context, RecordDict

from eafl_flower.app.client import client_app
from eafl_flower.app.experiment import run_experiment, run_in_server_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.resuming import changes_since, check_same_data, provenance_of
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Fanout
from eafl_flower.core.rng import generator
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import CheckpointError, ConfigError, DataError
from eafl_flower.results import ownership
from eafl_flower.results.run_directory import RunDirectory

SMALL = {
    **{"data.name": "csv", "data.csv.label-column": "kind", "data.csv.client-column": "who", "data.clients": 0},
    **{"data.unseen": 1, "task.tabular.hidden": "8,8", "strategy.merges": 40, "checkpoint.every": 10},
    **{"results.baselines": "none"},
}


class Killed(BaseException):
    """As if the process had died."""


class KilledAt:
    """An observer that dies at a merge."""

    def __init__(self, merge):
        self.merge = merge

    def write(self, event):
        if event["event"] == "merge" and event["merge"] == self.merge:
            raise Killed

    def close(self):
        pass


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(logging.getLogger("flwr"), "level", logging.WARNING)


def write_rows(path, *, count=120, classes="xyz", factor=1.0):
    rng = generator(1, "rows")
    rows = [
        f"{factor * rng.normal(i % 3):.4f},{rng.normal(i % 2):.4f},car{i % 5},{classes[i % 3]}" for i in range(count)
    ]
    path.write_text("\n".join(["a,b,who,kind", *rows]) + "\n")


def go(folder, data, *, resume=False, killed_at=0, **settings):
    config = RunConfig.from_flat({**SMALL, "data.csv.file": str(data), **settings})
    run_dir = RunDirectory.open(folder) if resume else RunDirectory.create_at(folder)
    if not resume:
        run_dir.write_config(config.to_toml())
    observer = Fanout([run_dir.log, KilledAt(killed_at)])
    try:
        return run_experiment(resolve(config), run_dir=run_dir, observer=observer, engine="inline", resume=resume)
    finally:
        observer.close()


@pytest.fixture
def killed(tmp_path):
    """A run that was killed at its 25th merge, and its data."""
    data, folder = tmp_path / "rows.csv", tmp_path / "runs" / "run"
    folder.parent.mkdir()
    write_rows(data)
    with pytest.raises(Killed):
        go(folder, data, killed_at=25)
    return folder, data


def test_a_server_app_goes_on_from_the_checkpoint_that_the_one_before_leaves_as_its_last(killed, tmp_path, monkeypatch):
    """`flwr stop` returns seconds before its ServerApp has written a checkpoint; `flwr run` may follow at once."""
    folder, _ = killed
    run_dir = RunDirectory.open(folder)
    config = RunConfig.from_toml(run_dir.config_path).replace({"checkpoint.resume": str(folder)})
    not_yet_there = run_dir.checkpoint_path.rename(tmp_path / "checkpoint")
    before = ownership.owned(folder, wait_s=0)
    before.__enter__()

    def end(seconds):  # while the next one waits
        not_yet_there.rename(run_dir.checkpoint_path)
        before.__exit__(None, None, None)

    monkeypatch.setattr(ownership, "time", SimpleNamespace(monotonic=time.monotonic, sleep=end))
    experiment = resolve(config)
    grid = InlineGrid(client_app(experiment, run_dir.state_dir), experiment.source.num_clients)
    context = Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config=config.to_flat())
    run_in_server_app(grid, context)
    merges = [event["merge"] for event in run_dir.events() if event["event"] == "merge"]
    assert merges == list(range(1, 41))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy.emam.alpha": 0.123}, r"with other settings \(strategy.emam.alpha: .* -> 0.123\): undo the change"),
        ({"task.learning-rate": 0.9, "seed": 7}, r"\(seed: 1 -> 7, task.learning-rate: 0.1 -> 0.9\)"),
        ({"codec.name": "lqgcm"}, r"with other settings \(codec.name: int8 -> lqgcm\)"),
        ({"task.tabular.hidden": "4,4"}, r"\(task.tabular.hidden: 8,8 -> 4,4\)"),
    ],
)
def test_other_settings_are_refused_by_name_with_both_values(killed, settings, message):
    folder, data = killed
    with pytest.raises(CheckpointError, match=message):
        go(folder, data, resume=True, **settings)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"count": 100}, r"from other data \(training rows: \d+ -> \d+, test rows: \d+ -> \d+\): undo the change"),
        ({"classes": "zxy"}, r"from other data \(other labels\)"),
        ({"factor": 3.0}, r"from other data \(.*other scaling\)"),
    ],
)
def test_other_data_in_the_same_place_are_refused(killed, rows, message):
    folder, data = killed
    write_rows(data, **rows)
    with pytest.raises(CheckpointError, match=message):
        go(folder, data, resume=True)


def test_what_has_changed_since_a_run_is_told_before_and_after_it_has_ended(killed):
    folder, data = killed
    run_dir = RunDirectory.open(folder)
    config = RunConfig.from_toml(run_dir.config_path)
    assert changes_since(run_dir, resolve(config)) == ""
    assert (
        changes_since(run_dir, resolve(config.replace({"task.tabular.hidden": "4"})))
        == "with other settings (task.tabular.hidden: 8,8 -> 4)"
    )
    write_rows(data, classes="zxy")
    assert changes_since(run_dir, resolve(config)) == "from other data (other labels)"
    write_rows(data)
    go(folder, data, resume=True)
    assert changes_since(run_dir, resolve(config)) == ""
    write_rows(data, count=100)
    assert changes_since(run_dir, resolve(config)).startswith("from other data (training rows: ")


def test_where_data_lie_how_safely_a_run_is_made_and_how_long_may_change(killed, tmp_path):
    folder, data = killed
    expected = go(tmp_path / "undisturbed" / "run", data, **{"strategy.merges": 60})
    moved = tmp_path / "moved.csv"
    shutil.move(data, moved)
    summary = go(folder, moved, resume=True, **{"checkpoint.every": 7, "strategy.merges": 60})
    assert summary["arrays_sha256"] == expected["arrays_sha256"]
    for key in ("config_sha256", "data_sha256", "data"):
        assert summary[key] == expected[key]
    assert summary["data"]["clients"] == 5
    assert summary["client_states_lost"] == 0


def test_of_a_file_that_a_setting_names_the_content_counts_and_not_its_place(tmp_path):
    config = RunConfig().replace({"codec.name": "lqgcm", "codec.lqgcm.mode": "rvq", "codec.lqgcm.codebook": "unread"})
    found = []
    for name, content in (("one", b"1"), ("elsewhere", b"1"), ("other", b"2")):
        (tmp_path / name).write_bytes(content)
        found.append(provenance_of(resolve(config.replace({"codec.lqgcm.codebook": str(tmp_path / name)}))))
    assert found[0] == found[1]
    assert found[0].changes_to(found[2]).startswith("with other settings (codec.lqgcm.codebook: 6b86")
    with pytest.raises(ConfigError, match=r"codec.lqgcm.codebook = 'unread': cannot be read \(No such file"):
        provenance_of(resolve(config))


def test_client_states_that_were_missing_are_counted(killed):
    folder, data = killed
    shutil.rmtree(folder / "state")
    summary = go(folder, data, resume=True)
    assert summary["client_states_lost"] > 0
    assert json.loads((folder / "summary.json").read_text()) == summary


def test_states_that_are_missing_only_for_the_last_evaluation_are_counted_once_each(tmp_path, killed):
    data = killed[1]
    go(tmp_path / "run", data)
    shutil.rmtree(tmp_path / "run" / "state")
    assert go(tmp_path / "run", data, resume=True)["client_states_lost"] == 4


def test_clients_of_another_process_that_find_other_data_say_so(killed):
    folder, data = killed
    config = RunConfig.from_toml(folder / "config.toml")
    expected = provenance_of(resolve(config)).data
    check_same_data(resolve(config), expected)
    write_rows(data, classes="zxy")
    with pytest.raises(DataError, match=r"find other data than the server \(other labels\): give both the same"):
        check_same_data(resolve(config), expected)


def test_two_runs_of_one_process_read_a_file_that_changed_in_between_anew(tmp_path):
    data = tmp_path / "rows.csv"
    write_rows(data)
    first = go(tmp_path / "first", data)
    write_rows(data, classes="zxy")
    second = go(tmp_path / "second", data)
    write_rows(data)
    third = go(tmp_path / "third", data)
    assert first["data_sha256"] != second["data_sha256"]
    assert first["arrays_sha256"] != second["arrays_sha256"]
    for key in ("data_sha256", "arrays_sha256", "config_sha256"):
        assert first[key] == third[key]
