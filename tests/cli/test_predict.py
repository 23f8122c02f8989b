import csv
import gzip
import io
import json
import logging
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.app.experiment import run_experiment
from eafl_flower.app.prediction import predictor_of
from eafl_flower.app.resolving import resolve
from eafl_flower.clients.numpy_client import FederatedClient
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Fanout
from eafl_flower.core.rng import generator
from eafl_flower.data.sets.idm import Traffic, simulate
from eafl_flower.data.sets.input_rows import InputRows
from eafl_flower.heads.prior import FeatureRanges, entropy_bits, prior_size
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.types import Rows

SMALL = {
    **{"data.clients": 6, "data.unseen": 2, "data.idm.rows-per-client": 48},
    **{"strategy.merges": 30, "results.baselines": "none", "codec.name": "float32"},
}
KINDS = {
    "private": {"task.tabular.hidden": "8,8"},
    "federated": {"task.tabular.hidden": "8,8", "task.tabular.head": "federated"},
    "tabular-both": {"task.tabular.hidden": "8,8", "task.tabular.head": "both"},
    "softmax": {"task.name": "softmax"},
    "fractal": {"task.name": "fractal", "task.fractal.head": "private", "task.fractal.head-sizes": "2x16,1x16"},
    "both": {"task.name": "fractal", "task.fractal.head": "both", "task.fractal.head-sizes": "2x16,1x16"},
    "sized": {"task.name": "fractal", "task.fractal.head": "private", "task.fractal.prune-threshold": 0.5},
    "bins": {"task.tabular.hidden": "8,8", "task.tabular.numeric-bins": 4},
    "fractal, bins": {"task.name": "fractal", "task.fractal.numeric-bins": 8},
    "lqgcm": {"task.tabular.hidden": "8,8", "codec.name": "lqgcm"},
}


@dataclass(frozen=True)
class Finished:
    """A finished run and what each client reported at its last evaluation."""

    path: str
    source: object
    scores: dict

    def write_rows(self, path, x, y):
        """Write scaled rows as they were before scaling, with their class."""
        scaler = self.source.scaler
        with Path(path).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow([*self.source.feature_names, "truth"])
            for row, label in zip((x.astype(np.float64) * scaler.scale + scaler.mean).tolist(), y, strict=True):
                table.writerow([*map(repr, row), self.source.class_names[label]])


def finish(folder, kind):
    config = RunConfig.from_flat({**SMALL, **KINDS[kind]})
    run_dir = RunDirectory.create_at(folder)
    run_dir.write_config(config.to_toml())
    scores = {}
    evaluate = FederatedClient.evaluate

    def remember(self, *arguments):
        result = evaluate(self, *arguments)
        scores[self.partition] = result[2]
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FederatedClient, "evaluate", remember)
        patch.setattr(logging.getLogger("flwr"), "level", logging.WARNING)
        run_experiment(resolve(config), run_dir=run_dir, observer=Fanout([run_dir.log]), engine="inline")
    run_dir.log.close()
    return Finished(str(run_dir.path), resolve(config).source, scores)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the finished run of a kind, made once."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = finish(tmp_path_factory.mktemp("runs") / kind, kind)
        return made[kind]

    return get


@pytest.fixture
def run(finished):
    return finished("private")


@pytest.fixture
def copy(run, tmp_path):
    """A run directory that may be damaged."""
    return RunDirectory.open(shutil.copytree(run.path, tmp_path / "copy"))


@pytest.fixture
def rows(run):
    """A file with the test rows of client 1."""
    part = run.source.partition(1)
    run.write_rows("rows.csv", part.x_test, part.y_test)
    return "rows.csv"


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


@pytest.fixture
def alike():
    """Rows enough to size a head by, from a small part of the ranges of the features, and their class."""
    rng = generator(1, "alike")
    return 0.05 * rng.standard_normal((60, 12), dtype=np.float32), rng.integers(0, 3, 60)


def test_a_head_that_is_fitted_here_is_as_large_as_the_run_would_make_it(finished, alike):
    run, (x, y) = finished("sized"), alike
    run_dir = RunDirectory.open(run.path)
    rows = Rows(x_train=x, y_train=y, x_test=x[:0], y_test=y[:0])
    of_the_run = resolve(RunConfig.from_toml(run_dir.config_path)).workload.task.prior_size(rows)
    raw = x.astype(np.float64) * run.source.scaler.scale + run.source.scaler.mean
    examples = InputRows(x=raw, numbers=np.arange(len(y)), labels=y)
    task = predictor_of(run_dir, 5, examples=examples).task
    assert task.prior_size(rows) == of_the_run != prior_size(entropy_bits(x, FeatureRanges.of(x)).mean())


def test_a_run_of_an_earlier_version_that_does_not_say_how_heads_are_sized_fits_none(finished, alike, eafl, tmp_path):
    finished("sized").write_rows("alike.csv", *alike)
    copied = RunDirectory.open(shutil.copytree(finished("sized").path, tmp_path / "copy"))
    description = json.loads(copied.description_path.read_text())
    del description["ranges"]
    copied.description_path.write_text(json.dumps(description))
    given = ["predict", str(copied.path), "alike.csv", "--label", "truth"]
    ended = eafl(*given, "--client", "5", "--fit", "alike.csv")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "model.json was written by an earlier version, without the ranges of the features" in ended.err
    assert "repeat the run" in ended.err
    assert eafl(*given, "--client", "1").code == 0  # a head that is there is used


@pytest.mark.parametrize("fit", [False, True])
def test_without_the_quantiles_no_model_reads_features_in_bins(finished, eafl, rows, tmp_path, fit):
    copied = RunDirectory.open(shutil.copytree(finished("bins").path, tmp_path / "copy"))
    description = json.loads(copied.description_path.read_text())
    del description["quantiles"]
    copied.description_path.write_text(json.dumps(description))
    ended = eafl("predict", str(copied.path), "--client", "1", rows, "--label", "truth", *["--fit", rows][: 2 * fit])
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "model.json lacks the quantiles of the features" in ended.err


def test_a_client_that_had_no_job_has_no_head(copy, rows, eafl):
    description = json.loads(copy.description_path.read_text())
    description["client_states"][1] = 0
    copy.description_path.write_text(json.dumps(description))
    ended = eafl("predict", str(copy.path), "--client", "1", rows)
    assert (ended.code, ended.err) == (
        1,
        "error: client 1 has no head of its own, it never trained; --fit FILE fits one to labelled rows\n",
    )
    assert eafl("predict", str(copy.path), "--client", "1", rows, "--fit", rows, "--label", "truth").code == 0


def test_rows_to_be_classified_need_no_label_where_a_head_is_fitted(run, rows, eafl):
    Path("unlabelled.csv").write_text("\n".join(line.rpartition(",")[0] for line in Path(rows).read_text().split()))
    ended = eafl("predict", run.path, "--client", "5", "unlabelled.csv", "--fit", rows, "--label", "truth")
    assert (ended.code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) == len(Path(rows).read_text().splitlines())


def break_version(run):
    run.description_path.write_text(run.description_path.read_text().replace("model 1", "model 7"))


def break_settings(run):
    run.config_path.write_text(run.config_path.read_text().replace("[task]", "[task]\nflavour = 3"))


def break_model(run):
    run.model_path.write_bytes(run.model_path.read_bytes()[:-8])


def break_arrays(run):
    """As of an earlier version, which did not note what the arrays were made from."""
    run.write_model({key: array[:-1] for key, array in run.model().items()})


def break_task(run):
    run.config_path.write_text(run.config_path.read_text().replace('hidden = "8,8"', 'hidden = "8,9"'))


def break_state(run):
    (path,) = run.state_dir.rglob(f"client-1/state-{run.description().client_states[1]}.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_version, "model.json cannot be used: it has the format 'eafl-flower model 7', this version of eafl-flo"),
        (break_settings, "task.flavour"),
        (break_model, "model.safetensors cannot be read: "),
        (break_task, "config.toml was changed after its run"),
        (break_arrays, "arrays that do not fit the model"),
        (break_state, ".safetensors is damaged: the head of client 1 cannot be read from it"),
        (lambda run: run.model_path.unlink(), "model.safetensors cannot be read: "),
        (lambda run: run.description_path.unlink(), "has no model.json: the run was made by an earlier version"),
        (lambda run: run.config_path.unlink(), "was not left by a run of eafl-flower"),
    ],
)
def test_a_run_that_cannot_be_used_is_one_error(copy, rows, eafl, damage, message):
    damage(copy)
    ended = eafl("predict", str(copy.path), "--client", "1", rows)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: ")
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_a_run_that_did_not_end_says_how_to_go_on(copy, rows, eafl):
    for path in (copy.description_path, copy.summary_path, copy.checkpoint_path):
        path.unlink(missing_ok=True)
    ended = eafl("predict", str(copy.path), "--client", "1", rows)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    again = f"start it again with: eafl run {copy.config_path}"
    assert f"the run did not end; it left no checkpoint to go on from; {again}" in ended.err


def test_a_configuration_that_was_changed_after_the_run_is_refused(copy, rows, eafl):
    as_it_was = copy.config_path.read_text()
    copy.config_path.write_text(as_it_was.replace("learning-rate = 0.1", "learning-rate = 0.2"))
    ended = eafl("predict", str(copy.path), rows, "--client", "1", "--label", "truth")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "config.toml was changed after its run" in ended.err
    copy.config_path.write_text(as_it_was.replace('dir = "runs"', 'dir = "elsewhere"'))
    assert eafl("predict", str(copy.path), rows, "--client", "1", "--label", "truth").code == 0


def test_arrays_of_another_run_are_refused(copy, finished, rows, eafl):
    shutil.copy(Path(finished("lqgcm").path, "model.safetensors"), copy.model_path)
    ended = eafl("predict", str(copy.path), rows, "--client", "1")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "model.safetensors is of run 'lqgcm', but model.json of 'private'" in ended.err
