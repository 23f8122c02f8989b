"""The commands of docs/reports.md, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from self_contained import assert_self_contained

from eafl_flower.results.report import activity_figures

PAGE = (Path(__file__).parents[1] / "docs" / "reports.md").read_text()
(COMMANDS,) = re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_commands_of_the_page_work_as_they_stand(tmp_path):
    (tmp_path / "eafl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m eafl_flower.cli.main "$@"\n')
    (tmp_path / "eafl").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run(["bash", "-euc", COMMANDS], cwd=tmp_path, env=env, timeout=400, check=True)
    (run_page,) = tmp_path.glob("runs/radio-map-*/report.html")
    for path in (run_page, tmp_path / "codecs.html"):
        text = path.read_text()
        assert_self_contained(text)
        assert str(tmp_path) not in text
        assert 50_000 < len(text.encode()) < 400_000  # as the page says
    assert "Federation brought" in run_page.read_text()


def test_the_page_says_from_how_many_uploads_on_dots_are_an_image():
    assert f"more than {activity_figures._MANY_DOTS:,} uploads" in PAGE
