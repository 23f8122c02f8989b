"""Damaged and hostile files of a run: each command ends with one message and an exit code, never with a traceback.

    python benchmarks/hostile_files.py [--files 1000] [--seed 1]

It makes a small run, damages one of its files in a random way, gives the run to every command that reads that file, and
prints how the commands ended.
"""

import argparse
import copy
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from eafl_flower.cli.main import app

# One line for a problem of one file; a configuration tells all of its problems at once.
_MOST_LINE = 2_100
_JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**30, 10**400, 1e308, float("nan"), float("inf"), "", "x", "../../etc", "\x1b[2J", "\ud800"),
    *([], [1], [None], [[]], {}, {"a": 1}, "9" * 5000, "=1+1"),
)
_TOML = (
    *("1e400", "-1", "9" * 26, "9" * 5000, "true", "[]", "{}", '"x"', "nan", "inf", "1979-05-27", '"\\u0000"', "'''"),
    *("[[" * 50, "[" * 100_000, '"\\ud800"', "0x" + "f" * 300, "1" * 500 + ".0"),
)
_WHOLE = (
    b"",
    b"\0" * 50,
    b"\xff\xfe\0x",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"null",
    b"{}",
    b"[]",
    b"{",
    b"0",
    b"NaN",
)


@dataclass
class Endings:
    """How commands ended: by file, command and kind; the first command of each unwanted kind stands beside it."""

    seen: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    faults: dict[tuple[str, str, str], str] = field(default_factory=dict)


def make_run(folder: Path) -> tuple[Path, Path]:
    """Make a run of 6 clients on a CSV file, with checkpoint and private heads; return its directory and the file."""
    rng = random.Random(0)
    rows = ["a,b,who,kind"]
    rows += [f"{rng.gauss(k, 1):.3f},{rng.gauss(-k, 1):.3f},car{i % 6},kind{k}" for i in range(240) for k in (i % 2,)]
    folder.mkdir()
    table = folder / "rows.csv"
    table.write_text("\n".join(rows) + "\n")
    given = ["run", "--csv", str(table), "--label", "kind", "--client", "who", "--baselines", "cheap"]
    settings = ("strategy.merges=12", "strategy.concurrency=0", "checkpoint.every=6", "task.tabular.head=private")
    given += [f"--set={text}" for text in settings]
    ended = CliRunner().invoke(app, [*given, "--out", str(folder / "runs")])
    if ended.exit_code:
        raise SystemExit(ended.output)
    return next((folder / "runs").iterdir()), table


def commands(run: Path, table: Path) -> dict[str, list[str]]:
    """Return the commands that read a run's files, by name."""
    return {
        "report": ["report", str(run), "--out", str(run.parent / "page.html")],
        "compare": ["compare", str(run), str(run)],
        "predict": ["predict", str(run), str(table), "--client", "0", "--output", str(run.parent / "p.csv")],
        "resume": ["run", "--resume", str(run)],
        "preset": ["calibrate", str(run / "config.toml"), "--repeats", "1", "--out", str(run.parent / "c.toml")],
        "data check": ["data", "check", "--csv", str(table), "--label", "kind", "--client", "who"],
    }


READERS = {
    "config.toml": ("report", "compare", "predict", "resume", "preset"),
    "summary.json": ("report", "compare"),
    "events.jsonl": ("report", "resume"),
    "model.json": ("predict",),
    "model.safetensors": ("predict",),
    "state": ("predict", "resume"),
    "checkpoint/server.safetensors": ("resume",),
    "owner": ("resume",),
    "rows.csv": ("predict", "data check"),
}


def damages(name: str, content: bytes, rng: random.Random) -> Iterator[bytes]:
    """Yield the damaged forms of a file, without an end: cut, exchanged, flipped, with values of another kind."""
    while True:
        yield rng.choice(_WHOLE)
        yield content[: rng.randrange(len(content) + 1)]
        flipped = bytearray(content)
        for _ in range(rng.randrange(1, 8)):
            flipped[rng.randrange(len(flipped))] = rng.randrange(256)
        yield bytes(flipped)
        if name.endswith(".json"):
            yield json.dumps(_changed(json.loads(content), rng)).encode()
        elif name.endswith(".jsonl"):
            lines = content.decode().splitlines()
            place = rng.randrange(len(lines))
            lines[place] = json.dumps(_changed(json.loads(lines[place]), rng))
            yield ("\n".join(lines) + "\n").encode()
        elif name.endswith(".toml"):
            lines = content.decode().splitlines()
            place = rng.choice([number for number, line in enumerate(lines) if " = " in line])
            lines[place] = f"{lines[place].partition(' = ')[0]} = {rng.choice(_TOML)}"
            yield "\n".join(lines).encode()
        elif name.endswith(".csv"):
            lines = content.decode().splitlines()
            cells = lines[place := rng.randrange(len(lines))].split(",")
            cells[rng.randrange(len(cells))] = rng.choice(
                ("", '"', "nan", "1e999", "9" * 5000, "x" * 200_000, "=1", "\0")
            )
            lines[place] = ",".join(cells)
            yield "\n".join(lines).encode()


def oddities(path: Path) -> Iterator[str]:
    """Put things in the place of a file that are none: a folder, a link to itself, to nowhere, to a device; nothing."""
    path.mkdir()
    yield "folder"
    path.rmdir()
    for target in (path, path.parent / "nowhere", Path("/dev/zero")):
        path.symlink_to(target)
        yield f"link to {target.name}"
        path.unlink()
    yield "missing"


def try_files(number: int, *, seed: int = 1, names: Sequence[str] = tuple(READERS)) -> Endings:
    """Damage files ``number`` times and run their readers; return how these ended."""
    rng, endings = random.Random(seed), Endings()
    with tempfile.TemporaryDirectory() as folder:
        run, table = make_run(Path(folder, "work"))
        pristine = Path(folder, "pristine")
        shutil.copytree(Path(folder, "work"), pristine)
        forms = {name: damages(name, path_of(run, table, name).read_bytes(), rng) for name in names}
        for attempt in range(number):
            name = names[attempt % len(names)]
            path = path_of(run, table, name)
            path.write_bytes(next(forms[name]))
            read(endings, name, run, table)
            _restore(Path(folder, "work"), pristine)
        for name in names if number >= len(names) else ():
            path = path_of(run, table, name)
            path.unlink()
            for _ in oddities(path):
                read(endings, name, run, table)
            _restore(Path(folder, "work"), pristine)
    return endings


def read(endings: Endings, name: str, run: Path, table: Path) -> None:
    """Run every command that reads the file ``name``, and note how each ended."""
    for command in READERS[name]:
        kind, text = _end_of(commands(run, table)[command])
        endings.seen[name, command, kind] += 1
        if kind.startswith("FAULT"):
            endings.faults.setdefault((name, command, kind), text)


def _end_of(arguments: Sequence[str]) -> tuple[str, str]:
    ended = CliRunner().invoke(app, list(arguments))
    error = ended.exception
    if error is not None and not isinstance(error, SystemExit):
        trace, place = ended.exc_info[2], ""
        while trace is not None:
            place, trace = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}", trace.tb_next
        return "FAULT traceback", f"{type(error).__name__}: {str(error)[:200]} at {place}"
    if ended.exit_code == 0:
        return "done", ""
    lines = ended.stderr.strip().splitlines()
    problems = [line for line in lines if "error: " in line or line.startswith("Usage")]
    if not problems or max(map(len, lines)) > _MOST_LINE or any(not line.isprintable() for line in lines):
        return "FAULT message", repr(ended.stderr[-300:])
    return "refused", ""


def _changed(value: Any, rng: random.Random) -> Any:
    value = copy.deepcopy(value)
    places = [place for place in _places(value, ()) if place]
    if not places:
        return rng.choice(_JUNK)
    *way, last = rng.choice(places)
    inner = value
    for step in way:
        inner = inner[step]
    if isinstance(inner, dict) and rng.random() < 0.2:
        del inner[last]
    else:
        inner[last] = rng.choice([junk for junk in _JUNK if junk != 10**400])
    return value


def _places(value: Any, way: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield way
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(min(3, len(value))):
            yield from _places(value[key], (*way, key))


def path_of(run: Path, table: Path, name: str) -> Path:
    """Return the path of a file in ``READERS``."""
    if name == "state":
        description = json.loads((run / "model.json").read_bytes())
        counter = description["client_states"][0]
        return next(run.rglob(f"client-0/state-{counter}.safetensors"))
    return table if name == "rows.csv" else run / name


def _restore(work: Path, pristine: Path) -> None:
    shutil.rmtree(work)
    shutil.copytree(pristine, work)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how commands ended on damaged files; return the number of kinds that must not be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000, help="damaged files")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    endings = try_files(given.files, seed=given.seed)
    for (name, command, kind), count in sorted(endings.seen.items()):
        print(f"{name:<30} {command:<10} {kind:<15} {count:>6,}  {endings.faults.get((name, command, kind), '')}")
    total = sum(endings.seen.values())
    print(f"{given.files:,} damaged files, {total:,} commands, {len(endings.faults)} kinds of faults")
    return len(endings.faults)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
