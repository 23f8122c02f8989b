"""What docs/latents.md says of timm, done as it stands."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "latents.md").read_text()
(SECTION,) = re.findall(r"^### Weights of timm that are here\n(.*?)^### ", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_latents_of_weights_that_timm_saved_are_aligned(tmp_path):
    for module, extra in ("timm", "timm"), ("ray", "simulation"), ("sklearn", "dev"):
        if not find_spec(module):
            pytest.skip(f"needs {module}: pip install 'eafl-flower[{extra}]'")
    (script,) = re.findall(r"^```python\n(.*?)^```$", SECTION, flags=re.DOTALL | re.MULTILINE)
    install, commands = re.findall(r"^```sh\n(.*?)^```$", SECTION, flags=re.DOTALL | re.MULTILINE)
    assert install == "pip install -c constraints.txt -e '.[torch,simulation,timm]' scikit-learn\n"
    (tmp_path / "eafl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m eafl_flower.cli.main "$@"\n')
    (tmp_path / "eafl").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path)}
    told = ""
    for command in [sys.executable, "-c", script], ["bash", "-euc", commands]:
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        told += done.stdout
    assert "1,293 are pilots, 144 validate, 360 test" in told
    assert (tmp_path / "latents" / "digits" / "mine.safetensors").is_file()
    assert re.search(r"accuracy, before training +[0-9.]+ %", told)
