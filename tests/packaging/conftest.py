import shutil
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".*_cache", "__pycache__", "*.egg-info", ".venv", "venv", "build", "dist", "runs", "*.fab"
)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The checkout the tests stand in."""
    return CHECKOUT


@pytest.fixture(scope="session")
def copied_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build from, so that nothing is left in the checkout; Flower wants a name without underscore."""
    copy = tmp_path_factory.mktemp("copy") / "eafl-flower"
    # scripts/build is a file; only folders of that name are left out
    shutil.copytree(CHECKOUT, copy, ignore=lambda folder, names: LEFT_OUT(folder, names) - {"scripts", *_files(folder)})
    return copy


def _files(folder: str) -> set[str]:
    return {entry.name for entry in Path(folder).iterdir() if entry.is_file() and entry.suffix != ".fab"}
