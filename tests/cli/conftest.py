import sys
import types
from dataclasses import dataclass
from pathlib import Path

import pytest

from eafl_flower.cli import main as cli

TESTS = str(Path(__file__).parents[1])
sys.path.insert(0, TESTS)  # fake_experiment

# The program of a process with the fake experiment.
CHILD = f"""
import sys
sys.path.insert(0, {TESTS!r})
import fake_experiment
sys.modules["eafl_flower.app.experiment"] = fake_experiment
from eafl_flower.cli.main import main
main(sys.argv[1:])
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def experiment(monkeypatch):
    """Replace the real experiment by the fake one; its attribute can be replaced again."""
    import fake_experiment

    module = types.ModuleType("eafl_flower.app.experiment")
    module.run_experiment = fake_experiment.run_experiment
    monkeypatch.setitem(sys.modules, "eafl_flower.app.experiment", module)
    return module


@pytest.fixture
def child():
    """Code that runs ``eafl`` with the fake experiment in another process."""
    return CHILD


@pytest.fixture
def eafl(capfd):
    def run(*arguments, main=cli.main):
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capfd.readouterr()
        return Ended(ended.value.code or 0, out, err)

    return run
