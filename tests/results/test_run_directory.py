import re
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.config import RunConfig
from eafl_flower.core.provenance import Provenance
from eafl_flower.errors import CheckpointError, ConfigError
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.summary import Outcome, summarize

OUTCOME = Outcome(
    merges=0, virtual_time_s=0.0, wall_s=0.0, uplink_bytes=0, downlink_bytes=0, uplink_framed_bytes=0,
    downlink_framed_bytes=0, energy_j=0.0, arrays_sha256="",
)  # fmt: skip
SUMMARY = summarize(OUTCOME, [], name="emam", seed=1, provenance=Provenance(), engine="inline")


def test_two_runs_at_the_same_second_get_two_directories(tmp_path):
    runs = {RunDirectory.create(tmp_path, "emam").path for _ in range(3)}
    assert len(runs) == 3
    assert all(re.fullmatch(r"emam-\d{8}T\d{6}Z(-\d)?", path.name) for path in runs)


def test_a_name_cannot_leave_the_folder(tmp_path):
    assert RunDirectory.create(tmp_path, "../../etc/x y").path.parent == tmp_path


def test_what_is_written_can_be_read(tmp_path):
    run = RunDirectory.create(tmp_path, "emam")
    run.write_config(RunConfig(seed=7).to_toml())
    run.write_summary(SUMMARY)
    found = RunDirectory.open(run.path)
    assert RunConfig.from_toml(found.config_path).seed == 7
    assert found.settings()["task.tabular.hidden"] == "32,32"
    assert found.summary() == SUMMARY
    assert found.events() == []


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3).T, np.float32(3), np.zeros((0, 2), np.int64)])
def test_arrays_of_any_memory_order_come_back_equal(tmp_path, array):
    run = RunDirectory.create(tmp_path, "emam")
    run.write_model({"0": array}, {"merges": "3"})
    found = run.model()["0"]
    assert found.shape == np.shape(array)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_a_foreign_directory_is_refused(tmp_path):
    (tmp_path / "config.toml").write_text('name = "something else"\n')
    with pytest.raises(CheckpointError, match="was not left by a run of eafl-flower"):
        RunDirectory.open(tmp_path)


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is not a directory"):
        RunDirectory.open(tmp_path / "nowhere")


def test_a_directory_without_its_log_is_damaged(tmp_path):
    run = RunDirectory.create(tmp_path, "emam")
    run.write_config("")
    run.events_path.unlink()
    with pytest.raises(CheckpointError, match=r"damaged: events\.jsonl is missing"):
        RunDirectory.open(run.path)


def test_a_run_is_never_written_over_another(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(CheckpointError, match="is not empty"):
        RunDirectory.create_at(tmp_path)


def test_a_run_without_summary_says_how_to_resume(tmp_path):
    run = RunDirectory.create(tmp_path, "emam")
    with pytest.raises(CheckpointError, match=r"did not end; it left no checkpoint .* eafl run .*emam.*config\.toml"):
        run.summary()
    run.checkpoint_dir.mkdir()
    run.checkpoint_path.touch()
    with pytest.raises(CheckpointError, match=r"did not end; resume it with: eafl run --resume .*emam"):
        run.summary()


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_summary_is_one_error(tmp_path, content):
    run = RunDirectory.create(tmp_path, "emam")
    run.summary_path.write_text(content)
    with pytest.raises(CheckpointError, match=r"summary\.json is damaged"):
        run.summary()


def test_a_damaged_model_is_one_error(tmp_path):
    run = RunDirectory.create(tmp_path, "emam")
    run.model_path.write_bytes(b"\x00" * 20)
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        run.model()


def test_a_damaged_configuration_is_one_error(tmp_path):
    run = RunDirectory.create(tmp_path, "emam")
    run.write_config("name = ")
    with pytest.raises(CheckpointError, match=r"config\.toml is damaged"):
        run.settings()


def test_half_a_checkpoint_is_none(tmp_path):
    run = RunDirectory.create(tmp_path, "emam")
    run.checkpoint_dir.mkdir()
    (run.checkpoint_dir / "server.tmp").touch()
    assert not run.has_checkpoint
    run.checkpoint_path.touch()
    assert run.has_checkpoint


def test_what_a_killed_process_was_writing_is_removed(tmp_path, monkeypatch):
    run = RunDirectory.create(tmp_path, "emam")
    run.write_config("")
    kept = {path.name for path in run.path.iterdir()}
    monkeypatch.setattr(Path, "replace", lambda self, target: None)  # as if it had died before
    run.write_summary({"merges": 1})
    run.write_model({"0": np.zeros(2)})
    assert {path.name for path in run.path.iterdir()} > kept
    run.remove_leftovers()
    assert {path.name for path in run.path.iterdir()} == kept


def test_only_a_run_without_events_is_removed(tmp_path):
    unused, used, filled = (RunDirectory.create(tmp_path, "emam") for _ in range(3))
    for run in (unused, used, filled):
        run.write_config("")
    used.events_path.write_text("{}\n")
    filled.checkpoint_dir.mkdir()
    assert [run.remove_if_unused() for run in (unused, used, filled)] == [True, False, False]
    assert [run.path.exists() for run in (unused, used, filled)] == [False, True, True]


@pytest.mark.parametrize("kind", ["file", "below a file", "link to nowhere"])
def test_a_folder_that_cannot_be_written_is_one_error(tmp_path, kind):
    if kind == "link to nowhere":
        (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    else:
        (tmp_path / "runs").touch()
    root = tmp_path / "runs" / "x" if kind == "below a file" else tmp_path / "runs"
    with pytest.raises(ConfigError, match=rf"the results folder {root} cannot be written .*: choose another by --out"):
        RunDirectory.create(root, "emam")


def test_a_failed_write_leaves_the_old_summary_and_no_rubbish(tmp_path):
    run = RunDirectory.create(tmp_path, "emam")
    run.write_summary(SUMMARY)
    with pytest.raises(ValueError, match="JSON compliant"):
        run.write_summary({"merges": float("nan")})
    assert run.summary() == SUMMARY
    assert [path.name for path in run.path.iterdir()] == ["summary.json"]


def test_a_resumed_run_leaves_the_log_of_an_undisturbed_one(make_run):
    settings = {"checkpoint__every": 30, "strategy__merges": 120}
    undisturbed = make_run(**settings)
    stopped = make_run(name="interrupted", **settings)
    assert not stopped.finished
    resumed = make_run(name="interrupted", resume=stopped.path, **settings)

    def without_wall_times(run):
        return [{key: value for key, value in event.items() if key != "wall_s"} for event in run.events()]

    assert without_wall_times(resumed) == without_wall_times(undisturbed)
    assert resumed.summary()["order_sha256"] == undisturbed.summary()["order_sha256"]


def test_a_copy_without_the_log_will_do_for_who_needs_none(tmp_path):
    run = RunDirectory.create(tmp_path, "emam")
    run.write_config("")
    run.events_path.unlink()
    assert RunDirectory.open(run.path, events=False).path == run.path


def test_a_run_without_description_says_why(tmp_path):
    run = RunDirectory.create(tmp_path, "emam")
    with pytest.raises(CheckpointError, match=r"no model\.json: the run did not end; it left no checkpoint to go on"):
        run.description()
    run.write_summary({})
    with pytest.raises(CheckpointError, match=r"no model\.json: the run was made by an earlier version"):
        run.description()


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"format": "eafl-flower model 1", "run": "x"'])
def test_a_damaged_description_is_one_error(tmp_path, content):
    run = RunDirectory.create(tmp_path, "emam")
    run.description_path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.json cannot be used: "):
        run.description()
