"""The combinations of a sweep, each with its runs of several seeds."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from eafl_flower.core.scores import Score
from eafl_flower.errors import CheckpointError
from eafl_flower.results.report.figures import Curve, curves_of
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.scores import declared_scores, stored_scores
from eafl_flower.results.views.comparison import differing_settings

_SET_ASIDE = re.compile(r"-old-\d+")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination of values: ``values`` by setting, and ``runs`` with their summaries, one a seed."""

    values: Mapping[str, Any]
    runs: tuple[RunDirectory, ...]
    summaries: tuple[Mapping[str, Any], ...]

    @property
    def title(self) -> str:
        """The values, with short keys; of a sweep over seeds alone the name of the run."""
        short = [f"{_short(key, list(self.values))}={value}" for key, value in self.values.items()]
        return ", ".join(short) or str(self.summaries[0]["name"])

    def scores(self, score: Score, phase: str) -> list[float]:
        """Return a score of each run that has measured it."""
        found = (one for summary in self.summaries for one in stored_scores(summary))
        return [one.value for one in found if one.score == score and one.phase == phase]

    def mean(self, quantity: str) -> float:
        """Return the mean of a number of the summaries."""
        return fmean(summary[quantity] for summary in self.summaries)

    def curves(self) -> dict[tuple[Score, str], list[Curve]]:
        """Return by score and phase the curves of all its runs."""
        found: dict[tuple[Score, str], list[Curve]] = {}
        for run, summary in zip(self.runs, self.summaries, strict=True):
            for key, curve in curves_of(run.events(), declared_scores(summary)).items():
                found.setdefault(key, []).append(curve)
        return found


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a folder of a sweep holds: its combinations, and the names of runs that have not finished."""

    cells: tuple[Cell, ...]
    unfinished: tuple[str, ...]


def is_sweep(folder: Path) -> bool:
    """Whether a folder was left by ``eafl sweep``: it holds runs, each beside the configuration it was started with."""
    return folder.is_dir() and any(path.with_name(f"{path.name}.toml").is_file() for path in _runs_in(folder))


def sweep_of(folder: Path) -> Sweep:
    """Read the folder of a sweep; runs that were set aside are left out.

    Raises
    ------
    CheckpointError
        If no run in it has finished, or one is damaged.
    """
    runs = [RunDirectory.open(path) for path in _runs_in(folder)]
    finished = [run for run in runs if run.finished]
    if not finished:
        msg = f"{folder} holds no run that has finished: give the command of the sweep again, which goes on with it"
        raise CheckpointError(msg)
    # What only some have because of what they chose, such as the settings of a codec, does not tell them apart.
    keys = [
        key
        for key, values in differing_settings(finished)
        if key != "seed" and len({str(value) for value in values if value is not None}) > 1
    ]
    groups: dict[tuple[Any, ...], list[RunDirectory]] = {}
    for run in finished:
        settings = run.settings()
        groups.setdefault(tuple(settings.get(key) for key in keys), []).append(run)
    cells = tuple(
        Cell(
            values=dict(zip(keys, values, strict=True)),
            runs=tuple(of_cell),
            summaries=tuple(run.summary() for run in of_cell),
        )
        for values, of_cell in sorted(groups.items(), key=lambda item: [_ordered(value) for value in item[0]])
    )
    return Sweep(cells=cells, unfinished=tuple(run.path.name for run in runs if not run.finished))


def mean_curve(title: str, curves: Sequence[Curve]) -> tuple[Curve, list[float], list[float]]:
    """Return the mean of curves at the merges that all have, and the least and the largest value there."""
    common = sorted(set.intersection(*(set(curve.merges) for curve in curves)))
    places = [{merge: index for index, merge in enumerate(curve.merges)} for curve in curves]

    def at(name: str, merge: int) -> list[float]:
        return [getattr(curve, name)[place[merge]] for curve, place in zip(curves, places, strict=True)]

    means = {name: [fmean(at(name, merge)) for merge in common] for name in ("time_s", "uplink_bytes", "values")}
    values = [at("values", merge) for merge in common]
    return Curve(title, **means, merges=common), [min(v) for v in values], [max(v) for v in values]


def _ordered(value: Any) -> tuple[bool, float, str]:
    """Return by what values are put in order: numbers first and by size, then texts."""
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if is_number else 0.0, str(value)


def _short(key: str, keys: Sequence[str]) -> str:
    """Return the last part of a key; of one that only names a part the group, and two parts where one is not enough.

    Examples
    --------
    >>> _short("codec.name", ["codec.name"]), _short("a.mu", ["a.mu", "b.mu"]), _short("a.mu", ["a.mu"])
    ('codec', 'a.mu', 'mu')
    """
    parts = key.removesuffix(".name").split(".")
    alike = sum(other.removesuffix(".name").split(".")[-1] == parts[-1] for other in keys)
    return ".".join(parts[-2:] if alike > 1 else parts[-1:])


def _runs_in(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if (path / "config.toml").is_file())
    return [path for path in found if not _SET_ASIDE.search(path.name) and (path / "events.jsonl").is_file()]
