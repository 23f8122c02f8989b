"""``eafl new``: what it says, and that it refuses by one line."""

import re
import shlex

import pytest

from eafl_flower.scaffold.app import Framework


@pytest.mark.parametrize("framework", list(Framework))
def test_a_new_app_is_told_with_the_commands_that_run_it(framework, tmp_path, eafl):
    made = eafl("new", "some folder/my-digits", "--framework", framework)
    assert (made.code, made.err) == (0, "")
    first, *commands = made.out.splitlines()
    assert first == f"An app with {framework.library}, README.md says what is whose. Run it:"
    assert shlex.split(commands[0]) == ["cd", "some folder/my-digits"]
    assert commands[-1].strip() == "flwr run . --stream"
    app = tmp_path / "some folder" / "my-digits"
    readme = (app / "README.md").read_text()
    assert all(line.split("#")[0].strip() in readme for line in commands[1:])
    assert re.search(r'publisher = "you"$', (app / "pyproject.toml").read_text(), flags=re.MULTILINE)


def test_the_framework_is_one_that_is_installed(eafl, monkeypatch, tmp_path):
    monkeypatch.setattr("eafl_flower.scaffold.app.find_spec", lambda name: None)
    made = eafl("new", "my-digits")
    assert made.out.startswith("An app with scikit-learn")
    assert "  pip install -e .  # here scikit-learn, ray are missing\n" in made.out


def test_a_folder_with_something_in_it_is_refused_by_one_line(tmp_path, eafl):
    (tmp_path / "my-digits").mkdir()
    (tmp_path / "my-digits" / "notes").touch()
    refused = eafl("new", "my-digits")
    assert (refused.code, refused.out) == (1, "")
    assert re.fullmatch(r"error: .*my-digits is not empty: expected a new or empty folder\n", refused.err)
    assert [path.name for path in (tmp_path / "my-digits").iterdir()] == ["notes"]


def test_a_framework_that_there_is_no_app_for_is_wrong_usage(eafl, tmp_path):
    assert eafl("new", "my-digits", "--framework", "jax").code == 2
    assert not (tmp_path / "my-digits").exists()
