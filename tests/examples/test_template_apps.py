"""Apps as Flower's templates write them learn as well once a diff has put our parts in."""

import re
import subprocess
from pathlib import Path

import pytest
from template_apps import APPS, DIFFS, NEEDS, app_of, copy_app, last_accuracy, run_inline

PAGE = Path(__file__).parents[2] / "docs" / "own-flower-app.md"
# Flower's legacy server talks to its clients from threads of its own: that app is compared with FedAvg of the
# Message API, and runs as it is on Flower's runtime (tests/deployment).
WITH_FEDAVG = {"numpyclient-digits.async": "numpyclient-digits.bridge"}
CHANGED = [name for name in DIFFS if name not in WITH_FEDAVG.values()]
NUM_NODES, NUM_ROUNDS = 4, 10


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * name.startswith("lora")) for name in CHANGED]
)
def test_an_app_learns_as_well_as_before_for_as_much_work(name, tmp_path, monkeypatch, progress_log):
    for package in NEEDS[app_of(name)]:
        pytest.importorskip(package, reason=f"the app needs {package}: pip install 'eafl-flower[lora,dev]'")
    found = []
    for variant in (WITH_FEDAVG.get(name, app_of(name)), name):
        progress_log.clear()
        run_inline(copy_app(variant, tmp_path), NUM_NODES, monkeypatch, **{"num-server-rounds": NUM_ROUNDS})
        found.append(last_accuracy(progress_log.text))
    before, after = found
    assert before > 0.6  # it does learn: one digit in ten is right by chance, of five digits one in five
    assert after > before - 0.1


def test_the_page_shows_the_diffs_as_they_are():
    page = PAGE.read_text()
    shown = re.findall(r"^\[(\S+)\.diff\]\(\S+\).*?:\n\n```diff\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    assert len(shown) == page.count("```diff\n") > 0
    assert dict(shown) == {name: (APPS / f"{name}.diff").read_text() for name, _ in shown}


def test_the_commands_of_the_page_change_an_app(tmp_path):
    (tmp_path / "examples").symlink_to(APPS.parent)
    _, block = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    commands, run, _ = block.partition("export ")  # flwr run itself: tests/deployment/test_template_apps.py
    assert run
    subprocess.run(["bash", "-e", "-c", commands], cwd=tmp_path, check=True)
    found, wanted = (
        {
            path.relative_to(folder): path.read_text()
            for ending in ("py", "toml")
            for path in folder.rglob(f"*.{ending}")
        }
        for folder in (tmp_path / "my-app-folder", copy_app("pytorch-digits.async", tmp_path))
    )
    assert found == wanted


def test_the_page_names_every_diff_and_every_app():
    page = PAGE.read_text()
    assert [name for name in DIFFS if f"{name}.diff" not in page] == []
    apps = {path.parent.name for path in APPS.glob("*/pyproject.toml")}
    assert {app_of(name) for name in DIFFS} == apps == set(NEEDS)


@pytest.mark.parametrize("app", sorted(NEEDS))
def test_an_app_as_it_is_knows_nothing_of_ours(app):
    assert [path for path in (APPS / app).rglob("*.py") if "eafl" in path.read_text()] == []
    assert "eafl" not in (APPS / app / "pyproject.toml").read_text()
