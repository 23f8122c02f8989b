import shutil

import pytest
from finished_runs import finish

from eafl_flower.results.run_directory import RunDirectory


@pytest.fixture(scope="session")
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
