"""Whatever a run's files hold, each command ends by itself, with one message and an exit code."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import hostile_files


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return hostile_files.make_run(tmp_path_factory.mktemp("made") / "work")


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    path = "eafl_flower.results.report.drawn.svg_of"
    monkeypatch.setattr(path, lambda figure, name, description: "<svg></svg>")


def read_by_all(made, name):
    endings = hostile_files.Endings()
    hostile_files.read(endings, name, *made)
    assert not endings.faults
    return {command: kind for _, command, kind in endings.seen}


@pytest.mark.parametrize("name", [name for name in hostile_files.READERS if name not in ("owner", "state")])
def test_a_damaged_file_is_refused_and_never_a_traceback(made, name):
    path = hostile_files.path_of(*made, name)
    content = path.read_bytes()
    forms = hostile_files.damages(name, content, random.Random(7))
    try:
        for _ in range(6):
            path.write_bytes(next(forms))
            read_by_all(made, name)
        path.write_bytes(b"\xff[" + b"[" * 100_000 + b"\n")
        assert set(read_by_all(made, name).values()) == {"refused"}
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["config.toml", "summary.json", "model.json", "model.safetensors", "rows.csv"])
def test_what_is_no_file_is_refused(made, name):
    path = hostile_files.path_of(*made, name)
    content = path.read_bytes()
    path.unlink()
    try:
        for _ in hostile_files.oddities(path):
            ended = read_by_all(made, name)
            if name == "summary.json":
                del ended["report"]  # it shows a run that is not finished
            assert "done" not in ended.values()
    finally:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)


@pytest.mark.slow
def test_a_hundred_damaged_files_end_no_command_in_a_traceback(monkeypatch, tmp_path):
    """A thousand take minutes: ``benchmarks/hostile_files.py``."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert hostile_files.try_files(100, seed=2).faults == {}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("config.toml", b"seed = 1", b"seed = 1979-05-27"),
        ("config.toml", b"seed = 1", b"seed = [0]"),
        ("config.toml", b"energy-j = 0.0", b"energy-j = 1" + b"0" * 400),
        ("summary.json", b'"data": {', b'"data": {"rows": "many", '),
        ("summary.json", b'"client_states_lost": 0', b'"client_states_lost": []'),
        ("summary.json", b'"p95": ', b'"p95": null, "p94": '),
    ],
)
def test_a_value_of_another_kind_is_refused(made, name, old, new):
    path = hostile_files.path_of(*made, name)
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    try:
        assert "refused" in read_by_all(made, name).values()
    finally:
        path.write_bytes(content)
