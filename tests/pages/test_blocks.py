"""Programs and commands of the pages do what they say: each is run as it stands, or the page says why not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from given import check_commands, files_of, names_of
from page_blocks import CHECKOUT, blocks_of, pages

BLOCKS = {page: blocks_of(page) for page in pages()}
NOT_LINKED = {"runs", "build", "dist", "site", "latents", "federation"}  # what commands write


def _are(block, language):
    return block.is_run_here and block.language == language and not block.file


PROGRAMS = [page for page, blocks in BLOCKS.items() if any(_are(block, "python") for block in blocks)]
COMMANDS = [page for page, blocks in BLOCKS.items() if any(_are(block, "sh") for block in blocks)]


def _met(block):
    """Whether the packages and data that a block needs are here."""
    data = Path(os.environ.get("EAFL_DATA_DIR") or "nowhere")
    return all(
        (data / need.removeprefix("data/")).exists() if need.startswith("data/") else _can_import(need)
        for need in block.needs
    )


def _can_import(name):
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def test_a_block_that_is_not_run_here_says_why_or_who_runs_it():
    wrong = []
    for block in [block for blocks in BLOCKS.values() for block in blocks if not block.is_run_here]:
        kind, _, rest = block.said.partition(": ") if block.said.startswith("not run") else block.said.partition("by ")
        where = f"{block.page}:{block.line}: {block.said}"
        if kind == "not run":
            wrong += [] if len(rest.split()) > 3 else [f"{where}: a reason of more than three words"]
            named = re.findall(r"(?:tests|docs)/[\w/.]+\w", rest)
            wrong += [f"{where}: there is no {path}" for path in named if not (CHECKOUT / path).exists()]
        elif not (CHECKOUT / rest).is_file():
            wrong.append(f"{where}: there is no {rest}")
        elif rest == ".ci/run":
            ci = (CHECKOUT / rest).read_text()
            lines = [line.partition("  #")[0].strip() for line in block.text.splitlines() if "venv" not in line]
            wrong += [f"{where}: {line}" for line in lines if line.removeprefix("pip install ") not in ci]
        elif Path(block.page).name not in (CHECKOUT / rest).read_text():
            wrong.append(f"{where}: it does not name the page")
    assert wrong == []


def test_what_is_said_before_a_block_is_understood():
    known = ("not run: ", "run by ", "run with ")
    unknown = [
        f"{block.page}:{block.line}: {block.said}"
        for blocks in BLOCKS.values()
        for block in blocks
        if block.said and not block.said.startswith(known)
    ]
    assert unknown == []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that looks like the checkout, in which a page's code may write."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here = tmp_path / "here"
    here.mkdir()
    for path in CHECKOUT.iterdir():
        if not path.name.startswith(".") and path.name not in NOT_LINKED:
            (here / path.name).symlink_to(path)
    monkeypatch.chdir(here)
    return here


def _write_files(page, folder):
    for block in BLOCKS[page]:
        if block.file and block.is_run_here:
            (folder / block.file).write_text(block.text)
    files_of(page, folder)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if any(block.needs for block in BLOCKS[page]) else [])
        for page in PROGRAMS
    ],
)
def test_the_programs_of_a_page_run(page, folder, monkeypatch):
    _write_files(page, folder)
    monkeypatch.syspath_prepend(folder)
    names = names_of(page, folder)
    blocks = [block for block in BLOCKS[page] if _are(block, "python")]
    run = [block for block in blocks if _met(block)]
    for block in run:
        before = "\n" * block.line  # so that a traceback tells the page's line
        exec(compile(before + block.text, CHECKOUT / page, "exec"), names)
    for name in {block.file.removesuffix(".py") for block in BLOCKS[page] if block.file}:
        sys.modules.pop(name, None)
    if not run:
        pytest.skip(f"the programs of {page} need {', '.join(blocks[0].needs)}")


@pytest.mark.slow
@pytest.mark.parametrize("page", COMMANDS)
def test_the_commands_of_a_page_run(page, folder, tmp_path):
    _write_files(page, folder)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, command in (("python", ""), ("pytest", "-m pytest"), ("eafl", "-m eafl_flower.cli.main")):
        line = f'PYTHONPATH="$PYTHONPATH${{PYTHONPATH:+:}}{CHECKOUT}" exec "{sys.executable}" {command} "$@"'
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    script = "".join(block.text for block in BLOCKS[page] if _are(block, "sh") and _met(block))
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "COLUMNS")}
    env["PATH"] = f"{programs}{os.pathsep}{env['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=900, check=False)
    print(done.stdout[-20_000:], done.stderr[-20_000:], sep="\n")
    assert done.returncode == 0
    check_commands(page, folder, done.stdout)
