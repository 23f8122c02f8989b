import csv
import gzip
import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from finished_runs import KINDS

from eafl_flower.core.rng import generator
from eafl_flower.data.sets.idm import Traffic, simulate


def table_of(text):
    header, *lines = csv.reader(io.StringIO(text))
    return header, lines


def right_of(ended):
    """Return the share of right rows as the command tells it."""
    assert ended.code == 0, ended.err
    right, of, total, word = ended.err.split(", ")[1].split()
    assert (of, word) == ("of", "rows")
    return int(right) / int(total)


@pytest.mark.parametrize("kind", KINDS)
def test_every_client_is_as_right_as_the_run_has_measured(finished, kind, eafl):
    run = finished(kind)
    for client in range(run.source.num_clients):
        part, score = run.source.partition(client), run.scores[client]
        run.write_rows("test.csv", part.x_test, part.y_test)
        given = ["predict", run.path, "--client", str(client), "test.csv", "--label", "truth"]
        if client < run.source.num_seen:
            assert right_of(eafl(*given)) == score["accuracy-before"]
        else:
            run.write_rows("train.csv", part.x_train, part.y_train)
            assert right_of(eafl(*given, "--fit", "train.csv")) == score["accuracy-unseen"]


@pytest.mark.parametrize("kind", ["both", "tabular-both"])
def test_who_never_trained_goes_by_the_fleets_head_beside_private_ones(finished, kind, eafl):
    run = finished(kind)
    part = run.source.partition(5)
    run.write_rows("test.csv", part.x_test, part.y_test)
    ended = eafl("predict", run.path, "--client", "5", "test.csv", "--label", "truth")
    assert "client 5 never trained and goes by the fleet's head; --fit FILE adapts it to labelled rows\n" in ended.err
    run.write_rows("few.csv", part.x_train[:4], part.y_train[:4])
    fitted = eafl("predict", run.path, "--client", "5", "test.csv", "--label", "truth", "--fit", "few.csv")
    assert "client 5 goes by the fleet's head as it is: of 4 labelled rows it cannot tell" in fitted.err
    assert fitted.out == ended.out


@pytest.mark.parametrize(
    ("kind", "own"), [("private", True), ("fractal", True), ("tabular-both", True), ("federated", False)]
)
def test_private_heads_are_the_clients_own_and_federated_ones_everybodys(finished, kind, own, eafl, rows):
    first, second = (eafl("predict", finished(kind).path, "--client", client, rows).out for client in "01")
    assert (first != second) is own


def test_each_row_has_its_number_class_and_probabilities(run, rows, eafl):
    ended = eafl("predict", run.path, "--client", "1", rows)
    header, lines = table_of(ended.out)
    assert header == ["row", "class", "p_brake", "p_keep", "p_accelerate"]
    assert [line[0] for line in lines] == [str(i + 1) for i in range(len(run.source.partition(1).y_test))]
    for _, name, *p in lines:
        assert sum(map(float, p)) == pytest.approx(1, abs=3e-6)  # six digits each
        assert run.source.class_names[np.argmax(list(map(float, p)))] == name
    assert ended.err == ""


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input_is_a_file_like_others(run, rows, eafl, monkeypatch, packed):
    content = Path(rows).read_bytes()
    stdin = io.TextIOWrapper(io.BytesIO(gzip.compress(content) if packed else content))
    monkeypatch.setattr(sys, "stdin", stdin)
    piped = eafl("predict", run.path, "--client", "1", "-")
    assert piped.out == eafl("predict", run.path, "--client", "1", rows).out
    assert len(piped.out.splitlines()) == len(content.splitlines())


def test_mistakes_in_standard_input_are_told_by_that_name(run, eafl, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n")))
    ended = eafl("predict", run.path, "--client", "1", "-")
    assert (ended.code, ended.err.startswith("error: standard input has no column speed_m_s")) == (1, True)


def test_the_table_can_go_to_a_file(run, rows, eafl):
    ended = eafl("predict", run.path, "--client", "1", rows, "--output", "out.csv", "--label", "truth")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("accuracy ")
    assert Path("out.csv").read_text() == eafl("predict", run.path, "--client", "1", rows).out


def test_a_node_needs_three_files_of_the_run_and_its_own_states(run, rows, eafl, tmp_path):
    node = tmp_path / "node"
    (node / "states").mkdir(parents=True)
    for name in ("config.toml", "model.json", "model.safetensors"):
        shutil.copy(Path(run.path, name), node)
    # of its own states alone
    own = Path("private", "client-1")
    shutil.copytree(Path(run.path, "state", own), node / "states" / own)
    given = ["predict", str(node), rows, "--state-dir", str(node / "states")]
    assert eafl(*given, "--client", "1").out == eafl("predict", run.path, "--client", "1", rows).out
    other = eafl(*given, "--client", "0")
    assert (other.code, other.err.count("\n")) == (1, 1)
    assert "no head of client 0: there is no " in other.err
    assert "name that folder by --state-dir" in other.err


def test_a_drive_is_classified_at_every_frame_with_three_seconds_of_past(run, eafl):
    speed, headway = simulate(generator(5, "drive"), vehicles=3, frames=80, traffic=Traffic())
    lines = [f"{s:.6f},{h:.6f}" for s, h in zip(speed[0], headway[0], strict=True)]
    Path("drive.csv").write_text("\n".join(["speed_m_s,headway_m", *lines]) + "\n")
    _, rows = table_of(eafl("predict", run.path, "--client", "2", "drive.csv").out)
    assert [int(row[0]) for row in rows] == list(range(31, 81))
    # the same moments as rows of features
    s, h, now = speed[0].astype(float), headway[0].astype(float), np.arange(30, 80)
    columns = [t for v in (s, h) for t in (v[now], *(v[now] - v[now - lag] for lag in (6, 12, 18, 24, 30)))]
    features = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    Path("features.csv").write_text("\n".join([",".join(run.source.feature_names), *features]) + "\n")
    _, again = table_of(eafl("predict", run.path, "--client", "2", "features.csv").out)
    given, expected = (np.array([row[2:] for row in found], float) for found in (rows, again))
    np.testing.assert_allclose(given, expected, atol=1e-4)  # the recording has six decimals


WRONG_FILES = {
    "missing.csv": (None, "no file missing.csv"),
    "empty.csv": (b"", "empty.csv is empty"),
    "cut.csv.gz": (gzip.compress(b"speed_m_s,headway_m\n" * 9)[:-12], "cut.csv.gz is truncated"),
    "short.csv": (b"speed_m_s,headway_m\n1,2\n", "short.csv: no vehicle is recorded for more than 3 s"),
    "words.csv": (b"speed_m_s,headway_m\n1,fast\n", "words.csv, line 2, column headway_m: expected a number"),
    "other.csv": (b"speed_m_s,x\n1,2\n", "other.csv has no column headway_m: expected speed_m_s, headway_m; or spe"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_file_that_cannot_be_used_is_one_error(run, eafl, name):
    content, message = WRONG_FILES[name]
    if content is not None:
        Path(name).write_bytes(content)
    ended = eafl("predict", run.path, "--client", "1", name)
    assert (ended.code, ended.err.count("\n"), ended.out) == (1, 1, "")
    assert ended.err.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--client", "6"], 1, "error: client 6: the run has the clients 0 to 5\n"),
        (["--client", "-1"], 1, "error: client -1: the run has the clients 0 to 5\n"),
        (["--client", "5"], 1, "error: client 5 has no head of its own, it never trained: only the clients 0 to 3 tr"),
        (["--client", "1", "--label", "trut"], 1, "error: rows.csv has no column trut"),
        (["--client", "1", "--label", "headway_m"], 1, "error: rows.csv, line 2, column headway_m: '"),
        (["--client", "1", "--output", "no/where.csv"], 1, "error: "),
        (["--client", "1", "--fit", "rows.csv"], 2, "--fit needs --label"),
        ([], 2, "--client"),
        (["--client", "5", "--fit", "-", "--label", "truth"], 2, "FILE and --fit cannot both be -"),
    ],
)
def test_a_mistake_is_one_message_without_traceback(run, rows, eafl, arguments, code, message):
    ended = eafl("predict", run.path, "-" if "-" in arguments else rows, *arguments)
    assert ended.code == code
    assert message in " ".join(ended.err.split("│")) if code == 2 else ended.err.startswith(message)
    assert code == 2 or ended.err.count("\n") == 1
    assert "Traceback" not in ended.err
