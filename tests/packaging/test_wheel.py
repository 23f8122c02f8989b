"""What an installed wheel puts into site-packages."""

import subprocess
import sys
import zipfile

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def members(copied_checkout, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", out, copied_checkout]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = out.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_contains_only_the_package(members):
    top = {name.split("/")[0] for name in members}
    (info,) = (name for name in top if name.endswith(".dist-info"))
    assert top == {"eafl_flower", info}


def test_the_wheel_contains_every_module_preset_table_and_template(members, checkout):
    package = checkout / "eafl_flower"
    wanted = {
        path.relative_to(checkout).as_posix()
        for ending in ("*.py", "*.toml", "*.json", "*.txt")
        for path in package.rglob(ending)
    }
    assert wanted <= set(members)
    assert "eafl_flower/py.typed" in members
