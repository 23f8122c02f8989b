import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.app.resolving import resolve

LABELS = "Start Time\tEnd Time\tTransportation Mode\n2008/05/01 00:00:00\t2008/05/01 00:10:00\twalk\n"


@pytest.fixture
def mine(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["id,when,a,b,kind"]
    for i in range(240):
        a = rng.normal()
        lines.append(f"v{i % 6},{i},{a:.4f},{rng.normal():.4f},{('blue', 'red')[a > 0]}")
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def data_settings():
    (path,) = Path("runs").iterdir()
    return tomllib.loads((path / "config.toml").read_text())["data"]


def test_a_run_on_ones_own_file_takes_all_its_clients_and_knows_where_it_is(experiment, eafl, mine):
    seen = []
    original = experiment.run_experiment

    def run_experiment(found, **options):
        seen.append(found.config.data)
        six = {"data.clients": 6, "data.unseen": 1, "strategy.concurrency": 0}  # it cannot count them
        return original(resolve(found.config.replace(six)), **options)

    experiment.run_experiment = run_experiment
    ended = eafl("run", "--csv", "mine.csv", "--label", "kind", "--client", "id", "--features", "a,b")
    assert ended.code == 0, ended.err
    (data,) = seen
    assert (data.name, data.part.file, data.clients, data.unseen) == ("csv", str(mine), 0, -1)
    assert (data.part.label_column, data.part.client_column, data.part.features) == ("kind", "id", ("a", "b"))


def test_a_file_of_ones_own_is_looked_for_here_and_then_in_the_data_folder(eafl, mine, tmp_path, monkeypatch):
    columns = ("--label", "kind", "--client", "id", "--time", "when")
    monkeypatch.setenv("EAFL_DATA_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = ("--set", "strategy.merges=5", "--baselines", "none")
    ended = eafl("run", "--csv", "mine.csv", *columns, *settings)
    assert (ended.code, ended.err) == (0, "")
    assert "240 rows" in eafl("data", "check", "--csv", "mine.csv", *columns).out
    Path("mine.csv").write_text("a,kind\n1,x\n")
    assert "has no column id, when" in eafl("run", "--csv", "mine.csv", *columns, *settings).err
    gone = eafl("run", "--csv", "gone.csv", *columns, *settings).err
    assert f"error: --csv: no file gone.csv or {tmp_path / 'gone.csv'}\n" in gone


def test_settings_of_the_command_line_and_of_files_win_over_the_defaults_of_a_file_of_ones_own(experiment, eafl, mine):
    Path("few.toml").write_text("[data]\nclients = 15\n")
    command = ("run", "--csv", "mine.csv", "--label", "kind", "--config", "few.toml", "--set", "data.unseen=2")
    assert eafl(*command, "data.partition=contiguous").code == 0
    data = data_settings()
    assert (data["clients"], data["unseen"]) == (15, 2)


def test_a_real_run_on_ones_own_file(eafl, mine):
    ended = eafl(
        "run", "--csv", "mine.csv", "--label", "kind", "--client", "id", "--time", "when",
        "--set", "strategy.merges=20", "--baselines", "cheap",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert " majority" in ended.out


def test_a_csv_file_in_the_place_of_the_preset_is_taken_as_ones_own(experiment, eafl, mine):
    clients = ("--set", "data.clients=6", "data.unseen=0", "strategy.concurrency=0")
    ended = eafl("run", "mine.csv", "--label", "kind", "--client", "id", *clients)
    assert "mine.csv: taken as --csv mine.csv, with the settings of the preset emam\n" in ended.out
    assert (data_settings()["name"], data_settings()["csv"]["file"]) == ("csv", str(mine))
    assert "--label: which column has the class?" in eafl("sweep", "mine.csv").err
    assert "expected one file with data" in eafl("run", "mine.csv", "--csv", "mine.csv", "--label", "kind").err
    assert "expected a preset" in eafl("calibrate", "mine.csv").err


def test_columns_of_text_that_are_left_out_are_named_by_check_and_run(eafl, mine):
    header, *lines = mine.read_text().splitlines()
    mine.write_text(
        "\n".join([f"{header},place[x]", *(f"{line},{'road' if i % 2 else 'city'}" for i, line in enumerate(lines))])
    )
    columns = ("--csv", "mine.csv", "--label", "kind", "--client", "id", "--time", "when")
    left_out = "columns of text are no features unless --features names them: place[x]\n"
    check, run = ("data", "check", *columns), ("run", *columns, "--set", "strategy.merges=5", "--baselines", "none")
    for command in (check, run):
        assert left_out in eafl(*command).out
        ended = eafl(*command, "--features", "a,place[x]")
        assert (ended.code, left_out in ended.out) == (0, False)


def test_what_is_left_out_is_said_by_check_and_run_and_counted_in_the_summary(eafl, mine):
    mine.write_text(mine.read_text() + "v9,1,0.5,0.5,red\nV0,2,0.25,0.5,red\n")
    columns = ("--csv", "mine.csv", "--label", "kind", "--client", "id", "--time", "when")
    run = eafl("run", *columns, "--set", "strategy.merges=5", "--baselines", "none")
    assert run.code == 0, run.err
    for out in (run.out, eafl("data", "check", *columns).out):
        assert out.count("left out 1 client with 1 row, fewer than 8 each or of one when: v9; give them more rows") == 1
        assert (
            out.count("column id: cells that are written differently are taken for one client: 'V0' (1) as 'v0'") == 1
        )
    (path,) = Path("runs").iterdir()
    summary = json.loads((path / "summary.json").read_text())
    assert (summary["clients_left_out"], summary["rows_left_out"]) == (1, 1)
    Path("new.csv").write_text("a,b,kind\n-1,0,Blue\n2,1,red\n1e9,0,red\n")
    name = json.loads((path / "model.json").read_text())["client_names"][0]
    called = eafl("predict", str(path), "--name", name.upper(), "--label", "kind", "new.csv")
    assert called.code == 0, called.err
    assert "column kind: cells are read as a class that is written differently: 'Blue' (1) as 'blue'\n" in called.err
    assert "count as that far: a 1 (1e+09; line 4); mend them" in called.err


@pytest.mark.parametrize("row", [",9,1,1,red", "v0,9,1,1,NaN", 'v0,9,"1,5",1,red', "v0,9,,1,red"])
def test_data_check_ends_with_an_error_for_what_a_run_refuses(eafl, mine, row):
    mine.write_text(f"{mine.read_text()}{row}\n")
    columns = ("--csv", str(mine), "--label", "kind", "--client", "id", "--time", "when")
    check, run = eafl("data", "check", *columns), eafl("run", *columns, "--baselines", "none")
    assert (check.code, run.code) == (1, 1)
    assert "line 242" in run.err
    assert check.err == run.err.replace("error: ", "error: a run would refuse this file: ")
    assert "mine.csv: csv, 241 rows" in check.out


@pytest.mark.slow
def test_a_sweep_on_ones_own_file(eafl, mine):
    ended = eafl(
        "sweep", "--csv", "mine.csv", "--label", "kind", "--client", "id", "--set", "strategy.merges=5",
        "--seeds", "1,2", "--out", "both", "--baselines", "none",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    configs = [tomllib.loads(path.read_text()) for path in Path("both").glob("*/config.toml")]
    assert sorted(config["seed"] for config in configs) == [1, 2]
    assert {(config["data"]["name"], config["data"]["csv"]["file"]) for config in configs} == {("csv", str(mine))}


def test_the_client_of_a_file_of_ones_own_is_named_as_in_the_file_and_its_texts_are_read_as_in_training(eafl, mine):
    texts = "\n".join(f"{line},{('road', 'city', 'sea')[len(line) % 3]}" for line in mine.read_text().splitlines()[1:])
    mine.write_text(f"id,when,a,b,kind,place\n{texts}\n")
    ended = eafl(
        "run", "--csv", "mine.csv", "--label", "kind", "--client", "id", "--time", "when", "--features", "a,place",
        "--set", "strategy.merges=40", "task.tabular.head=private", "--baselines", "none",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    (run,) = map(str, Path("runs").iterdir())
    names = json.loads(Path(run, "model.json").read_text())["client_names"]
    assert sorted(names) == [f"v{i}" for i in range(6)]
    Path("new.csv").write_text("place,a\nroad,-1\nsea,2\nmoon,0.5\n")
    for number, name in enumerate(names[:-1]):  # the last one never trained
        called = eafl("predict", run, "--name", name, "new.csv")
        assert called.code == 0, called.err
        assert called.out == eafl("predict", run, "--client", str(number), "new.csv").out
    assert eafl("predict", run, "--name", "v9", "new.csv").err.startswith("error: no client of the run is called v9: ")
    assert eafl("predict", run, "--name", "v1", "--client", "1", "new.csv").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--csv", "mine.csv"), "  --label: which column has the class? mine.csv has id, when, a, b, kind\n"),
        (("mine.csv",), "  --label: which column has the class? mine.csv has id, when, a, b, kind\n"),
        (("--label", "kind", "--time", "when"), "error: --label, --time: of which file? it is given by --csv FILE\n"),
        (("--csv", "mine.csv", "--label", "kind", "--client", "kind"), "--client kind: kind is named for two uses"),
        (("--csv", "mine.csv", "--label", "sort"), "has no column sort: found id, when, a, b, kind"),
        (("--csv", "gone.csv", "--label", "kind"), "error: --csv: no file"),
        (("gone.csv", "--label", "kind"), "error: --csv: no file"),
        (
            ("--csv", "mine.csv", "--set", "data.csv.label-column=kind", "--seed", "-1"),
            "  --seed -1: expected an integer",
        ),
    ],
)
def test_wrong_columns_and_files_are_one_message(eafl, mine, arguments, message):
    ended = eafl("run", *arguments, "--baselines", "none")
    assert (ended.code, message in ended.err, "Traceback" in ended.err) == (1, True, False), ended.err
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_the_columns_do_not_go_with_resume(eafl, mine):
    ended = eafl("run", "--resume", "runs/x", "--csv", "mine.csv")
    assert ended.code == 2
    assert "--csv does not go with --resume" in ended.err


def test_data_check_reads_a_file_of_ones_own(eafl, mine):
    ended = eafl("data", "check", "--csv", "mine.csv", "--label", "kind", "--client", "id", "--time", "when")
    assert ended.code == 0
    assert "mine.csv: csv, 240 rows, 5 columns" in ended.out
    assert "features of a run: a, b" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either FILE"),
        (("mine.csv", "--csv", "mine.csv"), "give either FILE"),
        (("mine.csv", "--label", "kind"), "name columns of a"),
        (("--csv", "mine.csv"), "needs --label"),
    ],
)
def test_data_check_wants_one_file_and_its_label(eafl, mine, arguments, message):
    ended = eafl("data", "check", *arguments)
    assert (ended.code, message in ended.err) == (2, True)


def test_data_prepare_geolife_says_what_it_wrote_and_skipped(eafl, tmp_path):
    user = tmp_path / "Data" / "010"
    (user / "Trajectory").mkdir(parents=True)
    (user / "labels.txt").write_text(LABELS)
    points = "".join(f"39.9,116.3,0,-777,39569.0,2008-05-01,00:{minute:02}:00\n" for minute in range(20))
    (user / "Trajectory" / "20080501000000.plt").write_text("header\n" * 6 + points)
    ended = eafl("data", "prepare", "geolife", "Data", "out.csv.gz")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        "11 labelled points of 1 users in 1 segments",
        "skipped: 9 points outside of every label interval",
        "Table: out.csv.gz",
    ]
    again = eafl("data", "prepare", "geolife", "Data", "out.csv.gz")
    assert (again.code, "exists already" in again.err) == (1, True)
