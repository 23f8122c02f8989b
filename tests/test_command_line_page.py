"""The commands of docs/command-line.md, run as they stand, and what the page says of each command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from shown_output import lines_not_printed, shown_after

from eafl_flower.cli.main import app

PAGE = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_commands_of_the_page_work_as_they_stand(tmp_path):
    (tmp_path / "eafl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m eafl_flower "$@"\n')
    (tmp_path / "eafl").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(BLOCKS)],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "exit status 1"
    assert lines_not_printed(shown_after(PAGE, "no privacy"), done.stdout) == []
    assert done.stdout.count("Federation brought") == 2
    for left in ("runs/sweep-radio-map/results.csv", "int8.html", "classes.csv", "quiet.txt", "logged.jsonl"):
        assert (tmp_path / left).stat().st_size
    assert list(tmp_path.glob("runs/radio-map-*/report.html"))


def test_the_page_names_every_command_and_every_option_of_a_run():
    program = typer.main.get_command(app)
    for name, command in program.commands.items():
        assert f"`eafl {name}" in PAGE
        for further in getattr(command, "commands", {}):
            assert f"`{further}`" in PAGE or f"`eafl {name} {further}`" in PAGE
    options = {
        name
        for p in program.commands["run"].params
        if not getattr(p, "hidden", False)
        for name in p.opts
        if "--" in name
    }
    assert {name for name in options - {"--help"} if f"`{name}" not in PAGE} == set()
