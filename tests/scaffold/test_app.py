"""A new app is Flower's template with three lines of ours, and learns."""

import importlib
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from template_apps import APPS, last_accuracy, run_inline

import eafl_flower
from eafl_flower.errors import ConfigError
from eafl_flower.scaffold.app import Framework, missing, package_of, write_app

MARK = "# eafl-flower"
BOTH = list(Framework)


@pytest.fixture(params=BOTH)
def app(request, tmp_path):
    """A new app of each framework, by its folder."""
    return new_app(tmp_path, request.param)


def new_app(folder, framework):
    write_app(folder / "my-digits", framework=Framework(framework), publisher="somebody")
    return folder / "my-digits"


def python_files(app):
    return sorted(app.rglob("*.py"))


@pytest.mark.parametrize("framework", BOTH)
def test_a_new_app_learns(framework, tmp_path, monkeypatch, progress_log):
    datasets = pytest.importorskip("sklearn.datasets", reason="the app needs scikit-learn")
    if framework is Framework.TORCH:
        pytest.importorskip("torch", reason="the app needs torch: pip install 'eafl-flower[torch]'")
    run_inline(new_app(tmp_path, framework), 2, monkeypatch, **{"num-server-rounds": 4})
    _, digits = datasets.load_digits(return_X_y=True)
    majority = np.bincount(digits).max() / len(digits)
    assert last_accuracy(progress_log.text) > majority + 0.3
    assert "plain arrays" not in progress_log.text  # they are coded


def test_three_lines_beside_their_imports_are_ours(app):
    lines = [line for file in (app / "pyproject.toml", *python_files(app)) for line in file.read_text().splitlines()]
    marked = [line for line in lines if MARK in line]
    code = [line.partition(MARK)[0].strip() for line in marked if not line.startswith("from eafl_flower")]
    dependency, client, server = filter(None, code)
    assert dependency == f'"eafl-flower>={eafl_flower.__version__}",'
    assert client == "app = ClientApp(mods=[compression_mod(Int8Codec())])"
    assert re.fullmatch(r"strategy = AsyncEMAM\(.*, codec=Int8Codec\(\)\)", server)
    assert [line for line in lines if "eafl" in line] == marked


@pytest.mark.parametrize(
    "framework, file", [("torch", "client_app"), ("torch", "server_app"), ("sklearn", "server_app")]
)
def test_what_is_not_marked_is_the_app_as_flower_has_it(framework, file, tmp_path):
    flowers = {"torch": "pytorch-digits", "sklearn": "sklearn-digits"}[framework]
    package = flowers.replace("-", "")
    theirs = (APPS / flowers / package / f"{file}.py").read_text()
    theirs = theirs.replace(package, "my_digits").replace(flowers, "my-digits")
    # scikit-learn's model is another, which learns where digits are missing, and has this setting
    theirs = theirs.replace('get_model(context.run_config["local-epochs"])', 'get_model(context.run_config["lr"])')
    replaced = r"app = ClientApp\(\)|from .* import FedAvg| *strategy = FedAvg\(.*"
    ours = (new_app(tmp_path, framework) / "my_digits" / f"{file}.py").read_text()
    assert [line for line in ours.splitlines() if MARK not in line] == [
        line for line in theirs.splitlines() if not re.fullmatch(replaced, line)
    ]


@pytest.mark.slow
def test_flower_bundles_all_of_a_new_app(app, tmp_path):
    flwr = Path(sysconfig.get_path("scripts")) / "flwr"
    environment = os.environ | {"FLWR_HOME": str(tmp_path / "home"), "FLWR_TELEMETRY_ENABLED": "0"}
    built = subprocess.run(
        [flwr, "build", "--app", app], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (bundle,) = tmp_path.glob("somebody.my-digits.1-0-0.*.fab")
    files = {path.relative_to(app).as_posix() for path in app.rglob("*") if path.is_file()}
    assert set(zipfile.ZipFile(bundle).namelist()) - {".info/CONTENT"} == files - {".gitignore"}


def test_a_new_app_is_of_the_format_and_for_the_flower_that_our_own_is(app):
    ours, theirs = (
        tomllib.loads(path.read_text())["tool"]["flwr"]["app"]
        for path in (APPS.parents[1] / "pyproject.toml", app / "pyproject.toml")
    )
    for key in ("fab-format-version", "flwr-version-target"):
        assert theirs[key] == ours[key]


def test_every_setting_of_a_new_app_is_read(app):
    settings = tomllib.loads((app / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    code = "".join(file.read_text() for file in python_files(app))
    assert [name for name in settings if f'run_config["{name}"]' not in code] == []


def test_the_readme_names_lines_that_are_there(app):
    rows = re.findall(r"^\| `(\S+)` \| `(.*)` \|$", (app / "README.md").read_text(), flags=re.MULTILINE)
    assert len(rows) == 3
    for file, line in rows:
        pattern = re.escape(line).replace(re.escape("..., "), ".*")
        assert re.search(pattern, (app / file).read_text())


def test_a_new_app_is_clean(app):
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "120", "--select", "E,F,I,W", "."]
    done = subprocess.run(command, cwd=app, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("nodes", [1, 2, 10, 359])
def test_every_node_has_images_and_every_image_one_node(nodes, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the app needs scikit-learn")
    monkeypatch.syspath_prepend(new_app(tmp_path, Framework.SKLEARN))
    monkeypatch.delitem(sys.modules, "my_digits.task", raising=False)
    monkeypatch.delitem(sys.modules, "my_digits", raising=False)
    task = importlib.import_module("my_digits.task")
    parts = [task.load_data(node, nodes) for node in range(nodes)]
    assert sum(len(y_train) + len(y_test) for _, _, y_train, y_test in parts) == 1797
    assert all(len(y_train) > 0 and len(y_test) > 0 for _, _, y_train, y_test in parts)
    with pytest.raises(ValueError, match="360 nodes: expected at most 359"):
        task.load_data(0, 360)


def test_an_empty_folder_is_taken_and_one_with_a_file_is_not(tmp_path):
    (tmp_path / "my-digits").mkdir()
    app = new_app(tmp_path, Framework.SKLEARN)
    before = {path: path.read_text() for path in app.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"my-digits is not empty: expected a new or empty folder"):
        new_app(tmp_path, Framework.TORCH)
    assert {path: path.read_text() for path in app.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "name, says",
    [
        ("my_app", "letters, digits and single hyphens, 32 at most, as in my-app"),
        ("3d", "a letter first.*, as in d"),
        ("a--b", "as in a-b"),
        ("a" * 33, "32 at most"),
        ("größe", "cannot be called größe"),
        ("class", "package class would be taken for another.* as in my-class"),
        ("json", "package json would be taken"),
        ("flwr", "package flwr would be taken"),
        ("eafl-flower", "package eafl_flower would be taken"),
        ("lib", "left out by Flower"),
    ],
)
def test_a_name_that_cannot_be_an_apps_is_refused_with_one_that_can(name, says, tmp_path):
    with pytest.raises(ConfigError, match=says):
        write_app(tmp_path / name, framework=Framework.SKLEARN, publisher="you")
    assert not (tmp_path / name).exists()


def test_a_package_is_called_as_its_folder():
    assert [package_of(name) for name in ("app", "My-app", "a-1-b")] == ["app", "my_app", "a_1_b"]


@pytest.mark.parametrize("publisher", ["", "a.b", "a/b", "-a", "a" * 65])
def test_a_publisher_that_flower_could_not_tell_from_the_name_is_refused(publisher, tmp_path):
    with pytest.raises(ConfigError, match=r"publisher .*: expected 1 to 64 letters"):
        write_app(tmp_path / "my-digits", framework=Framework.SKLEARN, publisher=publisher)
    assert not (tmp_path / "my-digits").exists()


def test_the_commands_of_the_page_are_those_of_the_apps_own_readme(app):
    page = (APPS.parents[1] / "docs" / "own-flower-app.md").read_text()
    first = re.search(r"^```sh\neafl new my-app\ncd my-app\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    assert first
    readme = (app / "README.md").read_text()
    for line in first[1].splitlines():
        assert line.partition("#")[0].strip() in readme


def test_what_is_missing_is_named_by_its_package(monkeypatch):
    monkeypatch.setattr("eafl_flower.scaffold.app.find_spec", lambda name: None)
    assert missing(Framework.TORCH) == ["scikit-learn", "torch", "ray"]
    assert missing(Framework.SKLEARN) == ["scikit-learn", "ray"]
