"""The commands of docs/watching.md, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "watching.md").read_text()
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_commands_of_the_page_work_as_they_stand(tmp_path):
    (tmp_path / "eafl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m eafl_flower.cli.main "$@"\n')
    (tmp_path / "eafl").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-euc", COMMANDS], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, "error" in done.stderr) == (0, False), done.stderr  # notes of the run are there, too
    assert done.stdout.count("finished: 300 merges made") == 2
    assert '"state": "finished"' in done.stdout


def test_the_page_names_every_setting_it_is_about():
    from eafl_flower.config.run_config import known_settings

    keys = {key for key in known_settings() if key.startswith("results.")} - {"results.dir", "results.baselines"}
    assert all(key in PAGE for key in keys)
    assert set(re.findall(r"results\.[a-z-]+(?<!-)", PAGE)) - {"results.dir", "results.sinks"} <= keys
