import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.app.prediction import predictor_of
from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
from eafl_flower.data.sets.input_rows import InputRows
from eafl_flower.heads.prior import FeatureRanges, entropy_bits, prior_size
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.types import Rows


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
