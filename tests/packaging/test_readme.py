"""The commands that README.md promises are the ones that CI runs."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from shown_output import lines_not_printed, shown_after

CHECKOUT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (CHECKOUT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)


def test_the_first_screen_has_the_two_commands():
    run, test = (block.splitlines() for block in BLOCKS[:2])
    assert run[0] == test[0] == "python3 -m venv .venv && . .venv/bin/activate"
    assert run[-1] == "python run_simulation.py"
    assert test[-1] == "pytest -n auto --dist loadfile"
    first_screen = "\n".join((CHECKOUT / "README.md").read_text().splitlines()[:30])
    assert all(block in first_screen for block in BLOCKS[:2])


@pytest.mark.slow
def test_the_main_job_runs_prints_what_is_shown_and_leaves_its_results(tmp_path):
    """The last line of the first block; what stands before it is what CI has done already."""
    command = BLOCKS[0].splitlines()[-1].replace("run_simulation.py", str(CHECKOUT / "run_simulation.py")).split()
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, *command[1:]], cwd=tmp_path, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    assert lines_not_printed(shown_after((CHECKOUT / "README.md").read_text(), "no privacy"), done.stdout) == []
    (run,) = (tmp_path / "runs").iterdir()
    assert {"config.toml", "events.jsonl", "summary.json", "model.safetensors", "model.json"} <= {
        path.name for path in run.iterdir()
    }


def test_ci_installs_and_tests_by_the_command_of_the_readme():
    ci = (CHECKOUT / ".ci" / "run").read_text()
    _, install, test = BLOCKS[1].splitlines()
    assert install.removeprefix("pip install ") in ci
    assert f'step "fast tests" {test}\n' in ci


def test_the_extras_of_the_commands_exist():
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for block in BLOCKS[:2]:
        (named,) = re.findall(r"'\.\[(.*)\]'", block)
        assert set(named.split(",")) <= set(extras)


def test_the_pins_are_plain_and_hold_what_the_application_needs():
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins["flwr"] == "1.39.0"  # the last with gRPC between SuperLink and SuperNode
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in pins.values())  # no local builds
