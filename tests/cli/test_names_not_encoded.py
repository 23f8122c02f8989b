"""Names that the terminal or a pipe has no letters for end no command."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.app.prediction import write_predictions

CLASSES = ("拥堵", "=busy", "-3")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("names") / "rows.csv"
    rows = [f"{i % 7 + 10 * (i % 3)},wagen{i % 4}ü,{CLASSES[i % 3]}" for i in range(120)]
    path.write_text("\n".join(["speed,who,kind", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "encoding",
    [pytest.param("cp1252", marks=pytest.mark.slow), pytest.param("ascii", marks=[pytest.mark.slow, pytest.mark.long])],
)
def test_no_command_ends_for_a_letter(table, tmp_path, encoding):
    def eafl(*arguments):
        ended = subprocess.run(
            [sys.executable, "-m", "eafl_flower.cli.main", *arguments], cwd=tmp_path, capture_output=True, check=False,
            env={**os.environ, "PYTHONIOENCODING": encoding, "XDG_CACHE_HOME": str(tmp_path)},
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr.decode("latin-1")
        return ended.stdout.decode(encoding), ended.stderr.decode(encoding)

    named = ("--csv", str(table), "--label", "kind", "--client", "who")
    assert "\\u62e5\\u5835" in eafl("data", "check", *named)[0]
    eafl("run", *named, "--baselines", "none", "--out", "拥堵", "--set", "strategy.merges=3", "strategy.concurrency=0")
    (run,) = map(str, Path(tmp_path, "拥堵").iterdir())
    assert "Page: " in eafl("compare", run, run, "--html", "page.html")[0]
    assert "Page: " in eafl("report", run)[0]
    out, told = eafl("predict", run, str(table), "--client", "0")
    assert "p_\\u62e5\\u5835" in out.splitlines()[0]
    assert "--output FILE writes them in UTF-8" in told


def test_a_class_that_is_a_formula_is_none_in_the_table_and_a_number_stays_one():
    file = io.StringIO()
    write_predictions(file, np.arange(3), np.eye(3)[[1, 2, 0]], CLASSES)
    rows = list(csv.reader(io.StringIO(file.getvalue())))
    assert [row[1] for row in rows] == ["class", "'=busy", "-3", "拥堵"]
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)
