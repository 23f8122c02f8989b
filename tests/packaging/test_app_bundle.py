"""The Flower App Bundle: what it carries, and that it runs where eafl-flower is not installed."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

import eafl_flower

pytestmark = pytest.mark.slow

# Without `site` no .pth file is read, so an editable install of eafl-flower is not seen: only its dependencies are.
LOAD = """
import sys
bundle, *site_packages = sys.argv[1:]
sys.path[:0] = [bundle]
sys.path += site_packages
from eafl_flower.server_app import app as server_app
from eafl_flower.client_app import app as client_app
from eafl_flower.config import RunConfig, preset_names
outside = [m.__name__ for n, m in sys.modules.items() if n.split(".")[0] == "eafl_flower" and bundle not in m.__file__]
assert not outside, outside
for name in preset_names():
    RunConfig.from_toml(name)
print(type(server_app).__name__, type(client_app).__name__, len(preset_names()))
"""


@pytest.fixture(scope="module")
def bundle(copied_checkout, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("bundle")
    flwr = Path(sysconfig.get_path("scripts")) / "flwr"
    command = [flwr, "build", "--app", copied_checkout]
    environment = os.environ | {"FLWR_HOME": str(out / "home"), "FLWR_TELEMETRY_ENABLED": "0"}
    built = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = out.glob("*.fab")
    return file


def test_the_bundle_is_the_package_and_its_papers_each_once(bundle, checkout):
    package = checkout / "eafl_flower"
    wanted = [
        path.relative_to(checkout).as_posix()
        for ending in ("*.py", "*.toml", "*.json")
        for path in package.rglob(ending)
    ]
    papers = [".info/CONTENT", "LICENSE", "README.md", "pyproject.toml"]
    assert sorted(zipfile.ZipFile(bundle).namelist()) == sorted([*wanted, *papers])


def test_the_bundle_has_the_version_of_the_package(bundle):
    assert bundle.name.startswith(f"eafl.eafl-flower.{eafl_flower.__version__.replace('.', '-')}.")


def test_the_bundle_is_of_format_1_and_made_for_the_flower_that_is_pinned(bundle, checkout):
    declared = tomllib.loads(zipfile.ZipFile(bundle).read("pyproject.toml").decode())["tool"]["flwr"]["app"]
    assert declared["fab-format-version"] == 1
    assert f"flwr=={declared['flwr-version-target']}" in (checkout / "constraints.txt").read_text().splitlines()


def test_the_bundle_loads_where_only_the_dependencies_are_installed(bundle, tmp_path, checkout):
    zipfile.ZipFile(bundle).extractall(tmp_path / "app")
    site_packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-S", "-c", LOAD, tmp_path / "app", *site_packages]
    loaded = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
    number = len(list((checkout / "strategies").glob("*.toml")))
    assert loaded.stdout.split() == ["ServerApp", "ClientApp", str(number)]
