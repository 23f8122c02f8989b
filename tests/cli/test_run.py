import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from eafl_flower.cli import main as cli
from eafl_flower.errors import RunFailedError
from eafl_flower.results.ownership import is_owned
from eafl_flower.results.run_directory import RunDirectory

SHORT = ("strategy.merges=96",)
OWN = "with owned(Path(sys.argv[1]), wait_s=0): print('mine', flush=True); sys.stdin.read()"


def only_run(folder="runs"):
    (path,) = Path(folder).iterdir()
    return path


def settings(path):
    return tomllib.loads((path / "config.toml").read_text())


def summary(path):
    return json.loads((path / "summary.json").read_text())


def test_a_run_leaves_its_directory_and_says_where(experiment, eafl):
    ended = eafl("run", "--set", *SHORT, "--out", "out")
    path = only_run("out")
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == f"Results: {path}"
    left = {"config.toml", "events.jsonl", "summary.json", "model.safetensors", "owner"}
    assert {p.name for p in path.iterdir()} == left
    assert ended.err == ""


def test_a_run_with_a_codec_says_that_it_is_no_privacy(experiment, eafl):
    words = "no privacy: payloads are coded, not protected"
    assert words in eafl("run", "--set", *SHORT).out
    assert words not in eafl("run", "--set", "codec.name=none", *SHORT).out


def test_without_arguments_all_baselines_stand_beside_the_main_job(experiment, eafl):
    for main, arguments in ((cli.main, ["run"]), (cli.run_simulation, [])):
        eafl(*arguments, main=main)
    for path in Path("runs").iterdir():
        assert None not in summary(path)["baselines"].values()
        assert (summary(path)["name"], summary(path)["engine"]) == ("radio-map", "inline")


def test_with_arguments_the_cheap_baselines_are_the_default(experiment, eafl):
    eafl("--seed", "5", main=cli.run_simulation)
    found = summary(only_run())
    assert found["seed"] == 5
    assert [name for name, scores in found["baselines"].items() if scores] == ["majority", "lookup"]


def test_a_run_is_owned_before_anything_heavy_is_imported(experiment, eafl, monkeypatch):
    from eafl_flower.app import telling

    seen = []

    class Looking(telling.Teller):
        def __init__(self, config, run_dir, console):
            seen.append(is_owned(run_dir.path))
            super().__init__(config, run_dir, console)

    monkeypatch.setattr(telling, "Teller", Looking)
    eafl("run", "--set", *SHORT)
    assert seen == [True]


def test_baselines_can_be_chosen(experiment, eafl):
    eafl("run", "--baselines", "none", "--set", *SHORT)
    assert set(summary(only_run())["baselines"].values()) == {None}


def test_one_set_takes_many_settings_and_the_order_of_sources_is_preset_config_set(experiment, eafl):
    Path("mine.toml").write_text('name = "mine"\n[task]\nbatch-size = 4\nlearning-rate = 0.5\n')
    ended = eafl("run", "--config", "mine.toml", "--set", *SHORT, "task.batch-size=8", "--seed", "3")
    assert ended.code == 0
    found = settings(only_run())
    assert (found["task"]["batch-size"], found["task"]["learning-rate"], found["seed"]) == (8, 0.5, 3)
    assert only_run().name.startswith("mine-")


def test_the_engine_reaches_the_experiment(experiment, eafl):
    seen = {}
    real = experiment.run_experiment

    def run_experiment(config, **options):
        seen.update(options)
        return real(config, **options)

    experiment.run_experiment = run_experiment
    eafl("run", "--engine", "ray", "--ray-address", "ray://host:1", "--set", *SHORT)
    assert (seen["engine"], seen["ray_address"], seen["resume"]) == ("ray", "ray://host:1", False)


@pytest.mark.parametrize(
    ("main", "arguments", "command"),
    [
        (cli.main, ["run"], "eafl run"),
        (cli.run_simulation, [], "python run_simulation.py"),
    ],
)
def test_ctrl_c_says_how_to_go_on_and_that_command_works(experiment, eafl, main, arguments, command):
    ended = eafl(*arguments, "--set", *SHORT, "name=interrupted", "checkpoint.every=10", main=main)
    path = only_run()
    assert ended.code == 130
    assert ended.err == f"interrupted; go on with: {command} --resume {path}\n"
    assert eafl(*arguments, "--resume", str(path), main=main).code == 0
    assert summary(path)["merges"] == 96


def test_ctrl_c_before_the_first_checkpoint_promises_nothing(experiment, eafl):
    ended = eafl("run", "--set", *SHORT, "name=interrupted")
    assert ended.code == 130
    assert "before the first checkpoint" in ended.err


def test_a_run_that_another_process_works_on_is_left_alone(experiment, eafl):
    eafl("run", "--set", *SHORT, "name=interrupted", "checkpoint.every=10")
    path = only_run()
    before = (path / "events.jsonl").read_bytes()
    code = f"import sys\nfrom pathlib import Path\nfrom eafl_flower.results.ownership import owned\n{OWN}"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"mine\n"
        for main, arguments in ((cli.main, ["run"]), (cli.run_simulation, [])):
            ended = eafl(*arguments, "--resume", str(path), main=main)
            assert (ended.code, ended.err.count("\n")) == (1, 1)
            assert f"another process (pid {other.pid}) is working on this run" in ended.err
        other.stdin.close()
    assert (path / "events.jsonl").read_bytes() == before
    assert eafl("run", "--resume", str(path)).code == 0


@pytest.mark.parametrize("extra", [["emam"], ["--set", "seed=2"], ["--seed", "2"], ["--out", "x"]])
def test_a_resumed_run_keeps_its_settings(experiment, eafl, extra):
    ended = eafl("run", "--resume", "runs/x", *extra)
    assert ended.code == 2
    assert "does not go with --resume" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], 'error: no preset "nope"'),
        (["--set", "task.bach-size=4", "seed=x"], "error: 2 problems in --set:"),
        (["--resume", "nowhere"], "error: nowhere is not a directory"),
    ],
)
def test_a_mistake_is_one_message_without_traceback(experiment, eafl, arguments, message):
    ended = eafl("run", *arguments)
    assert ended.code == 1
    assert ended.err.startswith(message)
    assert "Traceback" not in ended.err
    assert not Path("runs").exists()


def fail(error):
    def run_experiment(config, **options):
        raise error

    return run_experiment


@pytest.mark.parametrize("error", [RunFailedError("no data"), KeyboardInterrupt()])
def test_a_start_that_fails_leaves_no_run(experiment, eafl, error):
    experiment.run_experiment = fail(error)
    ended = eafl("run", "--set", *SHORT)
    assert (ended.code, ended.err.count("\n")) == ((130, 1) if isinstance(error, KeyboardInterrupt) else (1, 1))
    assert not list(Path("runs").iterdir())


def test_a_resume_without_a_checkpoint_says_what_to_do(experiment, eafl):
    eafl("run", "--set", *SHORT, "name=interrupted")
    path = only_run()
    before = (path / "events.jsonl").read_bytes()
    for main, arguments in ((cli.main, ["run"]), (cli.run_simulation, [])):
        ended = eafl(*arguments, "--resume", str(path), main=main)
        assert (ended.code, ended.err.count("\n")) == (1, 1)
        assert "has no checkpoint to resume from" in ended.err
        assert f"start it again with: eafl run {path / 'config.toml'}" in ended.err
    assert (path / "events.jsonl").read_bytes() == before


def test_a_resume_that_fails_removes_nothing(experiment, eafl):
    run_dir = RunDirectory.create("runs", "killed")
    run_dir.write_config('name = "killed"')
    experiment.run_experiment = fail(RunFailedError("no checkpoint"))
    assert eafl("run", "--resume", str(run_dir.path)).code == 1
    assert run_dir.config_path.exists()


def test_missing_data_leaves_no_run(eafl, monkeypatch, tmp_path):
    monkeypatch.delenv("EAFL_DATA_DIR", raising=False)
    ended = eafl("run", "unsw", "--set", f"data.dir={tmp_path}")
    assert ended.code == 1
    assert not list(Path("runs").iterdir())


def test_a_results_folder_that_cannot_be_written_is_one_message(experiment, eafl):
    Path("full").touch()
    ended = eafl("run", "--out", "full")
    message = "error: the results folder full cannot be written (File exists): choose another by --out or results.dir\n"
    assert (ended.code, ended.err) == (1, message)
    assert "the results folder full cannot be written" in eafl("sweep", "--out", "full").err


@pytest.mark.parametrize(("main", "arguments"), [(cli.main, ["run"]), (cli.run_simulation, [])])
def test_a_failed_run_exits_with_one_line(experiment, eafl, main, arguments):
    experiment.run_experiment = fail(RunFailedError("the error budget of 10 is spent"))
    ended = eafl(*arguments, "--set", *SHORT, main=main)
    assert (ended.code, ended.err) == (1, "error: the error budget of 10 is spent\n")


def test_a_missing_extra_exits_with_its_install_line(experiment, eafl):
    experiment.run_experiment = fail(ImportError("needs Ray: pip install 'eafl-flower[simulation]'"))
    ended = eafl("run", "--set", *SHORT)
    assert (ended.code, ended.err) == (1, "error: needs Ray: pip install 'eafl-flower[simulation]'\n")


def test_debug_lets_the_traceback_through(experiment):
    experiment.run_experiment = fail(RunFailedError("spent"))
    with pytest.raises(RunFailedError, match="spent"):
        cli.main(["run", "--debug", "--set", *SHORT])


def test_a_bug_keeps_its_traceback(experiment):
    experiment.run_experiment = fail(ZeroDivisionError("division by zero"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["run", "--set", *SHORT])


@pytest.mark.parametrize("arguments", [["run", "--engine", "x"], ["run", "--nope"], ["nope"], ["sweep", "--jobs", "0"]])
def test_wrong_usage_exits_with_2(eafl, arguments):
    assert eafl(*arguments).code == 2
