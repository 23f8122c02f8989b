import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".*_cache", "__pycache__", "*.egg-info", ".venv", "venv", "build", "dist", "site", "*.fab"
)
RESULTS = CHECKOUT / "runs"


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The checkout the tests stand in."""
    return CHECKOUT


@pytest.fixture(scope="session")
def copied_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build from, so that nothing is left in the checkout; Flower wants a name without underscore."""
    copy = tmp_path_factory.mktemp("copy") / "eafl-flower"
    shutil.copytree(CHECKOUT, copy, ignore=_left_out)
    return copy


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and sdist, as ``scripts/release`` makes them."""
    if missing := [name for name in ("build", "twine") if not importlib.util.find_spec(name)]:
        pytest.skip(f"a release needs {', '.join(missing)}: pip install 'eafl-flower[dev]'")
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a checkout of git")
    out = tmp_path_factory.mktemp("release")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [CHECKOUT / "scripts" / "release", out]
    done = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


def _left_out(folder: str, names: list[str]) -> set[str]:
    # scripts/build is a file; only folders of that name are left out, and of "runs" only the one with results
    results = {name for name in names if Path(folder, name) == RESULTS}
    return (LEFT_OUT(folder, names) - {"scripts", *_files(folder)}) | results


def _files(folder: str) -> set[str]:
    return {entry.name for entry in Path(folder).iterdir() if entry.is_file() and entry.suffix != ".fab"}
