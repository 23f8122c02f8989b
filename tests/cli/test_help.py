"""What the command line tells of itself: help, examples, versions, completion, presets."""

import doctest
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer

from eafl_flower.app import preset_list
from eafl_flower.cli import chosen, presets
from eafl_flower.cli import main as cli
from eafl_flower.cli.shared import with_every_set
from eafl_flower.config import RunConfig
from eafl_flower.config.files import preset_names
from eafl_flower.wire.agreement import VERSION


def commands(group=None, name=""):
    """Yield each command that does something, with its whole name."""
    group = group or typer.main.get_command(cli.app)
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}".strip())
        else:
            yield f"{name} {word}".strip(), command


COMMANDS = list(commands())
NAMES = [name for name, _ in COMMANDS]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_help_is_cut_in_a_window_of_any_width(eafl, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    for name in ("", "data", *NAMES):
        ended = eafl(*name.split(), "-h")
        assert (ended.code, ended.err) == (0, "")
        assert "…" not in ended.out
        assert "\\[" not in ended.out
    cli.app.rich_markup_mode = "rich"


def test_help_is_asked_for_by_both_names(eafl):
    for name in ("", "data", "run", "data prepare geolife"):
        assert eafl(*name.split(), "-h").out == eafl(*name.split(), "--help").out


def test_every_argument_and_option_is_explained():
    program = typer.main.get_command(cli.app)
    for name, command in (("", program), *COMMANDS):
        for parameter in command.params:
            assert parameter.help, (name, parameter.name)


def packed(text):
    """Return a text without its spaces and the sides of boxes: lines may break at a hyphen."""
    return re.sub(r"[\s│]", "", text)


@pytest.mark.parametrize("width", [60, 200])
def test_the_help_of_a_command_tells_what_each_of_its_parameters_is(eafl, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(cli.app, "rich_markup_mode", "rich")  # again afterwards
    for name, command in COMMANDS:
        told = packed(eafl(*name.split(), "-h").out)
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                assert told.count(packed(parameter.help)) == 1, (name, parameter.name)
            elif not parameter.hidden:
                assert packed(parameter.help) in told, (name, parameter.name)


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=NAMES)
def test_every_command_has_examples_that_it_understands(name, command):
    title, *examples = command.epilog.split("\n\n")
    assert title == "Examples:"
    assert examples
    for example in examples:
        own = len(name.split())
        program, *words = shlex.split(example)
        assert [program, *words[:own]] == ["eafl", *name.split()]
        assert command.make_context(name, with_every_set(words[own:])).params


def test_the_version_is_told(eafl):
    told = eafl("--version").out
    assert re.fullmatch(rf"eafl-flower {VERSION}, flwr [\d.]+, Python [\d.]+\n", told)


def test_the_package_is_a_program(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "eafl_flower", "run", "-h"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Usage: python -m eafl_flower run" in ended.stdout


@pytest.mark.parametrize(("no_color", "is_coloured"), [("", True), ("1", False)])
def test_a_terminal_has_colours_unless_somebody_does_not_want_them(no_color, is_coloured):
    ours, theirs = pty.openpty()
    env = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "eafl_flower", "run", "no-such-preset"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env):
        os.close(theirs)
        told = os.read(ours, 4096).decode()
    os.close(ours)
    assert 'error: no preset "no-such-preset"' in told
    assert ("\x1b[" in told) == is_coloured


def test_the_next_command_is_one_of_the_same_program(experiment, eafl):
    def main(arguments):
        cli.main(arguments, program="python -m eafl_flower")

    ended = eafl("run", "emam", "--set", "strategy.merges=20", main=main)
    assert ended.out.splitlines()[-1].startswith("Next:    python -m eafl_flower report runs/emam-")


def test_a_shell_completes_commands_and_presets():
    def completed(words):
        env = {
            **os.environ,
            "_EAFL_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        code = "from eafl_flower.cli.main import main; main()"
        return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False).stdout

    assert completed("eafl sta").split() == ["status"]
    assert completed("eafl run em").split() == [name for name in preset_names() if name.startswith("em")]


def test_the_examples_are_true():
    assert doctest.testmod(chosen).failed == doctest.testmod(presets).failed == 0


def test_every_preset_is_listed_with_all_that_is_asked_of_it(eafl):
    listed = json.loads(eafl("presets", "--json").out)
    assert [info["name"] for info in listed] == preset_names()
    for info in listed:
        assert info["shows"].endswith(".")
        assert info["system"]
        config = RunConfig.from_toml(info["name"])
        assert info["data"] == config.data.name
        assert config.task.name in preset_list.JOB_S
        assert config.radio.name in preset_list.RADIO_S
    table = eafl("presets").out
    for info in listed:
        (line,) = [line for line in table.splitlines() if line.startswith(f" {info['name']} ")]
        assert info["shows"] in line
        assert info["system"] in line


@pytest.mark.slow
def test_what_a_preset_needs_is_what_it_does_not_start_without(tmp_path):
    """Where neither torch, scikit-learn nor data are, those presets start that are said to need nothing."""
    code = """
import json, sys
for name in ("torch", "sklearn"):
    sys.modules[name] = None
from eafl_flower.app.preset_list import preset_list
from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
found = {}
for name in sys.argv[1:]:
    try:
        experiment = resolve(RunConfig.from_toml(name))
        experiment.task.init(generator(1, "init"))
    except (ImportError, ValueError) as error:
        found[name] = str(error)
print(json.dumps(found))
"""
    env = {**os.environ, "EAFL_DATA_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code, *preset_names()], env=env, capture_output=True, text=True, check=True
    )
    failed = json.loads(ended.stdout)
    assert set(failed) == {info.name for info in preset_list.preset_list() if info.needs}
    for info in preset_list.preset_list():
        assert ("data folder" in dict(info.needs)) == (str(tmp_path) in failed.get(info.name, ""))


def test_a_preset_that_lacks_its_data_is_said_to(eafl, tmp_path, monkeypatch):
    monkeypatch.setenv("EAFL_DATA_DIR", str(Path(tmp_path)))
    assert "data folder (missing)" in eafl("presets").out
