import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eafl_flower.app import sweep
from eafl_flower.config import RunConfig
from eafl_flower.errors import ConfigError
from eafl_flower.results.ownership import owned
from eafl_flower.results.run_directory import RunDirectory

BASE = ("emam", "--set", "strategy.merges=60")


@pytest.fixture(autouse=True)
def fake_children(monkeypatch, child):
    monkeypatch.setattr(sweep, "child_command", lambda arguments: [sys.executable, "-c", child, "run", *arguments])


def rows(folder="runs/sweep-emam"):
    with Path(folder, "results.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_combination_and_seed_runs_and_finished_ones_are_skipped(eafl):
    command = ("sweep", *BASE, "task.batch-size=8,16", "--seeds", "1,2", "--jobs", "2")
    first = eafl(*command)
    assert first.code == 0
    assert first.out.count("done") == 4
    assert first.out.splitlines()[-2:] == [
        "Results: runs/sweep-emam/results.csv",
        "Next:    eafl compare runs/sweep-emam",
    ]
    found = {(row["task.batch-size"], row["seed"]): row for row in rows()}
    assert set(found) == {("8", "1"), ("8", "2"), ("16", "1"), ("16", "2")}
    assert all(float(row["accuracy-before"]) > 0.4 and row["merges"] == "60" for row in found.values())
    again = eafl(*command)
    assert again.out.count("skipped") == 4
    assert {(row["task.batch-size"], row["seed"]): row for row in rows()} == found
    more = eafl("sweep", *BASE, "task.batch-size=8", "--seeds", "1,3")
    assert (more.out.count("skipped"), more.out.count("done")) == (1, 1)


@pytest.mark.parametrize(("made", "asked", "lacks"), [("none", "all", True), ("cheap", "all", True),
    ("all", "none", False), ("cheap", "cheap", False)])  # fmt: skip
def test_finished_runs_with_fewer_baselines_than_asked_for_are_named(eafl, made, asked, lacks):
    assert eafl("sweep", *BASE, "--baselines", made).code == 0
    again = eafl("sweep", *BASE, "--baselines", asked)
    assert "skipped" in again.out
    assert (f"made with --baselines {made}" in again.out) == lacks
    assert ("remove those runs' folders" in again.out) == lacks


def test_the_table_lists_the_settings_that_vary(eafl):
    ended = eafl("sweep", *BASE, "task.batch-size=8,16", "codec.int8.block-size=64")
    head = next(line for line in ended.out.splitlines() if "seeds" in line)
    assert head.split() == ["batch-size", "seeds", "before", "after", "unseen", "uplink", "energy"]
    assert "…" not in ended.out
    assert eafl("report", "runs/sweep-emam").out == "Page: runs/sweep-emam/report.html\n"
    assert "A batch-size=8" in Path("runs/sweep-emam/report.html").read_text()


def test_a_failed_run_fails_the_sweep_but_not_the_others(eafl):
    Path("runs/sweep-emam").mkdir(parents=True)
    (point, _) = sweep.points_of(RunConfig.from_toml("emam"), ["strategy.merges=60"], [1, 2])
    foreign = Path("runs/sweep-emam", point.id)
    foreign.mkdir()
    (foreign / "summary.json").write_text("")
    ended = eafl("sweep", *BASE, "--seeds", "1,2")
    assert ended.code == 1
    assert "summary.json is damaged" in ended.err
    (foreign / "summary.json").unlink()
    (foreign / "thesis.tex").touch()
    ended = eafl("sweep", *BASE, "--seeds", "1,2")
    assert "was not left by a run" in ended.err
    assert (foreign / "thesis.tex").exists()


@pytest.mark.parametrize(
    ("metrics", "target", "message"),
    [
        ("accuracy-before,acuracy-before", "0.5", "the task has no such score, there are accuracy-before"),
        ("accuracy-before", "0.5,50", "stop.target = 50: expected 0 to 1"),
    ],
)
def test_a_rule_to_stop_that_no_run_could_follow_is_refused_once_and_before_the_first(eafl, metrics, target, message):
    values = ("--set", f"stop.metric={metrics}", f"stop.target={target}", "evaluate.every=10")
    ended = eafl("sweep", *values, "--seeds", "1,2")
    assert ended.code == 1
    assert ended.err.count(message) == 1
    assert not Path("runs").exists()


def test_a_run_that_another_process_works_on_is_not_deleted(eafl):
    (point,) = sweep.points_of(RunConfig.from_toml("emam"), ["strategy.merges=60"], [1])
    run = RunDirectory.create_at(Path("runs/sweep-emam", point.id))
    run.write_config("")
    with owned(run.path, wait_s=0):
        ended = eafl("sweep", *BASE)
    assert ended.code == 1
    assert "is working on this run" in ended.err
    assert run.config_path.exists()


def test_the_last_line_of_a_failed_run_is_its_reason(eafl, monkeypatch):
    code = "import sys; print('working'); sys.exit('error: no rows left')"
    monkeypatch.setattr(sweep, "child_command", lambda arguments: [sys.executable, "-c", code])
    ended = eafl("sweep", *BASE)
    assert ended.code == 1
    assert "failed" in ended.out
    assert "error: no rows left (see runs/sweep-emam/" in ended.out


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "killed by SIGKILL (out of memory?)"),
        (signal.SIGSEGV, "killed by SIGSEGV (see"),
        (signal.SIGTERM, "killed by SIGTERM (see"),
    ],
)
def test_a_run_that_a_signal_ended_is_called_that(eafl, monkeypatch, number, words):
    code = f"import os; print('R01 of many', flush=True); os.kill(os.getpid(), {int(number)})"
    monkeypatch.setattr(sweep, "child_command", lambda arguments: [sys.executable, "-c", code])
    ended = eafl("sweep", *BASE)
    assert ended.code == 1
    assert words in ended.out


def test_a_run_that_was_asked_to_stop_is_called_that(eafl, monkeypatch):
    monkeypatch.setattr(sweep, "child_command", lambda arguments: [sys.executable, "-c", "raise SystemExit(143)"])
    assert "stopped by SIGTERM (see" in eafl("sweep", *BASE).out


def test_a_run_with_a_checkpoint_is_resumed(eafl):
    settings = (*BASE, "name=interrupted", "checkpoint.every=10")
    folder = "runs/sweep-emam"
    assert eafl("sweep", *settings).code == 1
    ended = eafl("sweep", *settings)
    assert ended.code == 0
    assert "resumed after 40 merges" in next(Path(folder).glob("*.log")).read_text()
    assert rows()[0]["merges"] == "60"


@pytest.mark.slow
def test_a_resumed_run_gets_the_baselines_that_are_now_asked_for(eafl):
    settings = (*BASE, "name=interrupted", "checkpoint.every=10")
    assert eafl("sweep", *settings, "--baselines", "none").code == 1
    assert eafl("sweep", *settings, "--baselines", "all").code == 0
    assert rows()[0]["exact-before"]
    assert "made with" not in eafl("sweep", *settings, "--baselines", "all").out


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGHUP))]
)
def test_a_sweep_that_is_stopped_ends_its_processes_and_names_what_is_unfinished(tmp_path, child, number):
    code = child.replace("main(sys.argv[1:])", "") + (
        "import eafl_flower.app.sweep as s\n"
        f"s.child_command = lambda a: [sys.executable, '-c', {child!r}, 'run', *a]\n"
        "main(['sweep', 'emam', '--set', 'strategy.merges=100000', 'job.deadline-s=0.01', 'checkpoint.every=1',"
        "'task.batch-size=8,16', '--seeds', '1,2', '--jobs', '2'])"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "runs" / "sweep-emam"
    until = time.monotonic() + 120
    while len(list(folder.glob("*/checkpoint/lines.txt"))) < 2:
        assert parent.poll() is None
        assert time.monotonic() < until, "no two checkpoints in two minutes"
        time.sleep(0.05)
    parent.send_signal(number)
    out, err = parent.communicate()
    assert parent.returncode == 128 + number
    assert "the same command goes on" in err
    lines = [line.split() for line in out.splitlines() if "/4 " in line]
    begun, not_begun = (8, "goes"), (16, "not")
    expected = [(f"batch-size={b},seed={s}", word) for b, word in (begun, not_begun) for s in (1, 2)]
    assert [(",".join(title.split(",")[-2:]), word) for _, _, title, word, *_ in lines] == expected
    assert {status for _, status, *_ in lines} == {"unfinished"}
    told = [log.read_text() for log in folder.glob("*.log")]
    assert len(told) == 2
    assert all("go on with: eafl run --resume" in text for text in told)
    for owner in folder.glob("*/owner"):
        assert not Path("/proc", owner.read_text().strip()).exists()


def write_rows(path, classes="xyz"):
    rows = [f"{i % 3 + i / 97:.3f},car{i % 5},{classes[i % 3]}" for i in range(120)]
    Path(path).write_text("\n".join(["a,who,kind", *rows]) + "\n")


OWN = ("sweep", *BASE, "--csv", "rows.csv", "--label", "kind", "--client", "who", "--baselines", "none")


@pytest.mark.slow
def test_runs_on_data_that_have_changed_are_made_again_and_the_old_ones_kept(eafl):
    write_rows("rows.csv")
    assert eafl(*OWN, "--seeds", "1,2").code == 0
    data = {row["run"]: summary_of(row["run"])["data_sha256"] for row in rows()}
    Path("rows.csv").touch()
    assert eafl(*OWN, "--seeds", "1,2").out.count("skipped") == 2
    write_rows("rows.csv", classes="zxy")
    again = eafl(*OWN, "--seeds", "1,2")
    assert (again.code, again.out.count("skipped")) == (0, 0)
    assert again.out.count("run again, the old one was made from other data (other values) and is now ") == 2
    assert all(summary_of(name)["data_sha256"] != sha256 for name, sha256 in data.items())
    assert all(summary_of(f"{name}-old-1")["data_sha256"] == sha256 for name, sha256 in data.items())
    write_rows("rows.csv")
    eafl(*OWN, "--seeds", "1,2")
    assert all(summary_of(name)["data_sha256"] == sha256 for name, sha256 in data.items())
    assert all(summary_of(f"{name}-old-2")["data_sha256"] != sha256 for name, sha256 in data.items())


def summary_of(name):
    return RunDirectory(Path("runs/sweep-emam", name)).summary()


@pytest.mark.slow
def test_a_finished_run_of_which_nobody_knows_the_data_is_made_again(eafl):
    assert eafl("sweep", *BASE).code == 0
    run = RunDirectory(Path("runs/sweep-emam", rows()[0]["run"]))
    run.write_summary({key: value for key, value in run.summary().items() if key != "data_sha256"})
    assert "made by an earlier version, which did not note its data" in eafl("sweep", *BASE).out


def test_a_run_whose_data_are_gone_has_failed_and_keeps_its_scores(eafl):
    write_rows("rows.csv")
    assert eafl(*OWN).code == 0
    name = rows()[0]["run"]
    Path("rows.csv").rename("elsewhere.csv")
    absolute = [str(Path("rows.csv").absolute()) if word == "rows.csv" else word for word in OWN]
    ended = eafl(*absolute)
    assert (ended.code, ended.out.count("failed")) == (1, 1)
    assert "data.csv.file: no file" in ended.out
    assert summary_of(name)["merges"] == 60


def test_values_of_list_settings_are_separated_by_semicolons():
    points = sweep.points_of(RunConfig(), ["task.tabular.hidden=32,32;64"], [1])
    assert [point.config.task.part.hidden for point in points] == [(32, 32), (64,)]


def test_ids_differ_exactly_if_configurations_do():
    points = sweep.points_of(RunConfig(), ["task.batch-size=8,16", "codec.name=int8,none"], [1, 2, 3])
    assert len({point.id for point in points}) == 12
    elsewhere = sweep.points_of(
        RunConfig().replace({"results.dir": "x"}), ["task.batch-size=8,16", "codec.name=int8,none"], [1, 2, 3]
    )
    assert [point.id for point in elsewhere] == [point.id for point in points]


@pytest.mark.parametrize(
    ("lists", "seeds", "message"),
    [
        (["task.bach-size=8"], [1], "did you mean task.batch-size"),
        (["task.batch-size=8,x"], [1], "expected an integer"),
        (["task.batch-size"], [1], "expected key=value"),
        (["task.batch-size=8", "task.batch-size=16"], [1], "given twice"),
        (["seed=1,2"], [1], "--seeds"),
        ([], [1, 1], "seeds are given once"),
    ],
)
def test_mistakes_are_found_before_anything_runs(lists, seeds, message):
    with pytest.raises(ConfigError, match=message):
        sweep.points_of(RunConfig(), lists, seeds)


def test_seeds_are_integers():
    assert sweep.parse_seeds("1, 2,3") == [1, 2, 3]
    with pytest.raises(ConfigError, match="expected integers"):
        sweep.parse_seeds("1,a")
