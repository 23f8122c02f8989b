"""Type checkers read the package where it is installed, also from its checkout, and find a misspelt keyword."""

import os
import re
import subprocess
import sys
import sysconfig
import zipfile

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """\
from pathlib import Path

import eafl_flower
from eafl_flower import EMAM, EMQ, AsyncEMAM, Compressed, Int8Codec, UCBDual, compression_mod
from eafl_flower.strategies import AsyncEMAM as Same
from eafl_flower.strategies import Options

AsyncEMAM(concurrency=10, codec=Int8Codec(), checkpoint=Path("run.ckpt"))
Same(alpha=0.2, beta=0.1, evaluate_every=5)
shared: Options = {"seed": 1, "unit": "merges"}
EMAM(**shared)
EMQ(energy_j=5.0, codec=None)
AsyncEMAM(concurency=10)  # wrong: call-arg
EMAM(seeds=1)  # wrong: call-arg
EMQ(energy=5.0)  # wrong: call-arg
UCBDual(local_epoch=2)  # wrong: call-arg
AsyncEMAM(concurrency="ten")  # wrong: arg-type
AsyncEMAM(unit="merge")  # wrong: arg-type
Int8Codec(block=3)  # wrong: call-arg
compression_mod(Int8Codec(), kinds="x")  # wrong: call-arg
Compressed(EMAM(), codec="int8")  # wrong: arg-type
eafl_flower.AsyncEMA  # wrong: attr-defined
other: Options = {"sed": 1}  # wrong: typeddict-unknown-key
version: int = eafl_flower.__version__  # wrong: assignment
"""
# What torch and the others export is theirs: to read it takes a minute and a half.
CONFIG = """\
[mypy]
strict = True
[mypy-torch.*,transformers.*,peft.*,ray.*,scipy.*,pandas.*,matplotlib.*,sklearn.*,numba.*]
follow_imports = skip
"""
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_editable(sys.argv[1]))"


@pytest.fixture(scope="module")
def editable(copied_checkout, tmp_path_factory):
    """A Python in whose environment the package is installed as ``pip install -e`` does it."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)
    python = home / "venv" / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    site = done.stdout.strip()
    command = [sys.executable, "-W", "ignore", "-c", BUILD, home]
    built = subprocess.run(command, cwd=copied_checkout, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(home / built.stdout.split()[-1]) as wheel:
        wheel.extractall(site)
    (home / site / "rest.pth").write_text(sysconfig.get_path("purelib"))  # flwr, numpy, ...
    return python


def test_mypy_finds_misspelt_keywords_in_an_editable_install(editable, tmp_path):
    pytest.importorskip("mypy", reason="the checker: pip install 'eafl-flower[dev]'")
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "mypy.ini").write_text(CONFIG)
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
    command = [sys.executable, "-m", "mypy", "--config-file=mypy.ini", "--python-executable", editable]
    command += ["--cache-dir", tmp_path / "cache", "program.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    found = re.findall(r"^program\.py:(\d+): error: .*\[([a-z-]+)\]$", done.stdout, flags=re.MULTILINE)
    lines = PROGRAM.splitlines()
    wanted = [
        (str(n), lines[n - 1].partition("# wrong: ")[2]) for n in range(1, len(lines) + 1) if "# wrong" in lines[n - 1]
    ]
    assert found == wanted, done.stdout + done.stderr


def test_the_version_is_that_of_the_checkout(editable):
    code = "import eafl_flower, importlib.metadata as m; print(eafl_flower.__version__, m.version('eafl-flower'))"
    done = subprocess.run([editable, "-I", "-c", code], capture_output=True, text=True, check=True)
    stated, installed = done.stdout.split()
    assert stated == installed
