import doctest
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from eafl_flower.cli import shared as command_line
from eafl_flower.cli.shared import with_every_set
from eafl_flower.data.sets.unsw_nb15 import NUMERIC
from eafl_flower.results.run_directory import RunDirectory


@pytest.fixture
def runs(experiment, eafl):
    for seed in ("1", "2"):
        assert eafl("run", "--set", "strategy.merges=60", "--seed", seed).code == 0
    return sorted(map(str, Path("runs").iterdir()))


def test_help_loads_nothing_heavy():
    heavy = ("torch", "ray", "flwr", "matplotlib", "pandas", "numpy", "numba", "scipy")
    code = (
        "import sys; from eafl_flower.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"sys.exit(','.join(name for name in {heavy} if name in sys.modules) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_examples_are_true():
    assert doctest.testmod(command_line).failed == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        (["--set", "a=1", "emam"], ["--set", "a=1", "emam"]),
        (["--set", "a=1", "--out", "b=2"], ["--set", "a=1", "--out", "b=2"]),
        (["--set", "a=1", "b=2", "--set", "c=3"], ["--set", "a=1", "--set", "b=2", "--set", "c=3"]),
        (["--set"], ["--set"]),
    ],
)
def test_set_spreads_over_settings_only(given, expected):
    assert with_every_set(given) == expected


def test_compare_shows_runs_and_the_settings_that_differ(runs, eafl):
    ended = eafl("compare", *runs, "--html", "page.html")
    assert ended.code == 0
    assert "seed" in ended.out
    assert "strategy.merges" not in ended.out
    assert "<svg" in Path("page.html").read_text()


@pytest.fixture
def swept(experiment, eafl):
    """Return a function that makes what a sweep leaves behind: runs with these values, and a table of them."""

    def make(*values):
        lines = [",".join([*values[0], "run", "accuracy-before"])]
        for number, chosen in enumerate(values):
            told = ["--set", "strategy.merges=60", *(f"{key}={value}" for key, value in chosen.items())]
            assert eafl("run", *told, "--baselines", "none", "--directory", f"swept/{number}").code == 0
            lines.append(",".join([*map(str, chosen.values()), str(number), "0.5"]))
        Path("swept", "results.csv").write_text("\n".join(lines) + "\n")

    return make


def test_compare_of_a_sweep_of_seeds_gives_mean_and_deviation(swept, eafl):
    swept({"seed": 1}, {"seed": 2})
    head, _, row, *rest = eafl("compare", "swept", "--html", "page.html").out.splitlines()
    assert (head.split()[0], row.split()[0], "±" in row) == ("seeds", "2", True)
    assert not any("seed" in line for line in rest)  # it is known
    assert "<svg" in Path("page.html").read_text()


def test_compare_of_a_sweep_has_a_row_for_each_combination_but_not_for_what_was_set_aside(swept, eafl):
    swept(*({"task.batch-size": size, "seed": seed} for size in (8, 16) for seed in (1, 2)))
    table = Path("swept", "results.csv").read_text()
    Path("swept", "3").rename(Path("swept", "3-old-1"))
    Path("swept", "results.csv").write_text("".join(table.splitlines(keepends=True)[:-1]))
    head, _, *rows = [line.split() for line in eafl("compare", "swept").out.splitlines() if line.strip()]
    assert head[:2] == ["batch-size", "seeds"]
    assert [(row[0], row[1]) for row in rows] == [("8", "2"), ("16", "1")]


def test_compare_of_a_folder_takes_the_runs_in_it(runs, eafl):
    assert eafl("compare", "runs").out == eafl("compare", *runs).out


def test_compare_leaves_out_what_is_not_finished(runs, eafl):
    eafl("run", "--set", "name=interrupted", "strategy.merges=60")
    (unfinished,) = map(str, Path("runs").glob("interrupted-*"))
    ended = eafl("compare", *runs, unfinished, "--html", "page.html")
    assert ended.code == 0
    assert ended.out.splitlines()[-3] == f"Left out, not finished: {unfinished}"
    alone = eafl("compare", unfinished)
    path = Path(unfinished, "config.toml")
    assert alone.code == 1
    assert f"did not end; it left no checkpoint to go on from; start it again with: eafl run {path}" in alone.err


def test_compare_does_not_count_where_results_went(runs, eafl):
    eafl("run", "--set", "strategy.merges=60", "--out", "elsewhere", "--baselines", "none")
    ended = eafl("compare", runs[0], *map(str, Path("elsewhere").iterdir()))
    assert ended.code == 0
    assert "results." not in ended.out
    assert "setting" not in ended.out  # both have seed 1


OTHER_DATA = "different data though their settings are the same"


def test_compare_says_once_that_data_differ_and_whether_settings_say_so(runs, eafl):
    assert eafl("compare", *runs, "--html", "page.html").out.count("different data, as seed says") == 1
    assert Path("page.html").read_text().count("different data, as seed says") == 1
    assert "different data" not in eafl("compare", runs[0], runs[0]).out
    eafl("run", "--set", "strategy.merges=60", "--seed", "1", "--out", "later")
    (later,) = Path("later").iterdir()
    assert "different data" not in eafl("compare", runs[0], str(later)).out
    changed = RunDirectory(later).summary()
    for lost in ({"data_sha256": "0", "data": {**changed["data"], "training rows": 7}}, {}):
        kept = {key: value for key, value in changed.items() if not key.startswith("data")}
        RunDirectory(later).write_summary(kept | lost)
        ended = eafl("compare", runs[0], str(later))
        assert ended.out.count(OTHER_DATA) == 1
        assert ("training rows: 7" if lost else "(not noted)") in ended.out


@pytest.mark.slow
def test_a_configuration_that_was_changed_after_its_run_is_told(runs, eafl):
    config = Path(runs[0], "config.toml")
    as_it_was = config.read_text()
    told = f"{config} was changed after its run"
    config.write_text(as_it_was.replace("[results]\n", "[results]\n# a note\n").replace('dir = "runs"', 'dir = "x"'))
    assert told not in eafl("compare", *runs).out
    config.write_text(as_it_was.replace("alpha = ", "alpha = 1"))
    assert eafl("compare", *runs, "--html", "page.html").out.count(told) == 1
    eafl("report", runs[0])
    for page in ("page.html", f"{runs[0]}/report.html"):
        assert Path(page).read_text().count(told) == 1


def test_tables_in_a_pipe_are_not_cut(runs, eafl, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    ended = eafl("compare", *runs)
    table = ended.out.splitlines()
    for title in ("run", "before", "after", "unseen", "merges", "uplink", "saved", "downlink", "energy", "time"):
        assert title in table[0].split()
    assert all(any(Path(run).name in line for line in table) for run in runs)
    assert "…" not in ended.out


def test_compare_refuses_what_is_no_run(eafl):
    ended = eafl("compare", ".")
    assert ended.code == 1
    assert "was not left by a run" in ended.err


def test_report_writes_a_page_into_the_run(runs, eafl):
    ended = eafl("report", runs[0])
    assert ended.out == f"Page: {runs[0]}/report.html\n"
    assert "<svg" in Path(runs[0], "report.html").read_text()


def test_calibrate_writes_settings_that_run_accepts(experiment, eafl):
    quick = ("task.name=softmax",)
    ended = eafl("calibrate", "--repeats", "3", "--set", *quick, "--out", "here.toml")
    assert ended.code == 0
    assert "cycles a sample at 1 GHz" in ended.out
    assert eafl("run", "--config", "here.toml", "--set", "strategy.merges=60").code == 0
    (path,) = Path("runs").iterdir()
    stored = tomllib.loads((path / "config.toml").read_text())["energy"]["cycles-per-sample"]
    assert stored == tomllib.loads(Path("here.toml").read_text())["energy"]["cycles-per-sample"] > 0


def test_data_check_prints_rows_classes_and_leaks(eafl, tmp_path):
    path = tmp_path / "flows.csv"
    kinds = ["Normal" if i < 60 else "DoS" for i in range(120)]
    numbers = [",".join(str(i % 7) for _ in NUMERIC) for i in range(120)]
    rows = [f"{i},tcp,-,FIN,{numbers[i]},{kind}" for i, kind in enumerate(kinds)]
    path.write_text("\n".join([f"id,proto,service,state,{','.join(NUMERIC)},attack_cat", *rows]) + "\n")
    ended = eafl("data", "check", str(path))
    assert ended.code == 0
    assert f"{path}: unsw-nb15, 120 rows, {5 + len(NUMERIC)} columns\n" in ended.out
    assert "Normal 60" in ended.out
    assert "\nwarning: " in ended.out  # rows repeat


def test_data_check_of_a_known_table_without_what_its_loader_reads_is_a_report_and_an_error(eafl, tmp_path):
    path = tmp_path / "flows.csv"
    rows = [f"{i},tcp,-,{i % 7},{'Normal' if i < 60 else 'DoS'}" for i in range(120)]
    path.write_text("\n".join(["id,proto,service,sttl,attack_cat", *rows]) + "\n")
    ended = eafl("data", "check", str(path))
    assert ended.code == 1
    assert "Normal 60" in ended.out
    assert ended.err.startswith(f"error: a run would refuse this file: {path} has no column ")


@pytest.mark.parametrize("content", [None, "a,b\n1,2\n"])
def test_data_check_of_a_file_it_cannot_use_is_one_message(eafl, content):
    if content:
        Path("x.csv").write_text(content)
    ended = eafl("data", "check", "x.csv")
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert "x.csv" in ended.err
    assert "Traceback" not in ended.err
