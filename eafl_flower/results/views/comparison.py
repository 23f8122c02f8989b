"""Several runs side by side."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from eafl_flower.core.provenance import listed
from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.errors import CheckpointError
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.scores import declared_scores
from eafl_flower.results.views import page
from eafl_flower.results.views.figures import Curve, curves_of, score_figure
from eafl_flower.results.views.quantities import energy_text, time_text
from eafl_flower.results.views.score_words import columns_of, direction, heading, phase_text, score_cells


def comparison_page(runs: Sequence[RunDirectory]) -> str:
    """Return an HTML page with the curves and tables of several finished runs.

    Raises
    ------
    CheckpointError
        If a directory is damaged or its run has not ended.
    ImportError
        If Matplotlib is missing.
    """
    titles = run_titles(runs)
    summaries = [run.summary() for run in runs]
    by_score: dict[tuple[Score, str], list[Curve]] = {}
    for title, run, summary in zip(titles, runs, summaries, strict=True):
        for score_and_phase, curve in curves_of(run.events(), declared_scores(summary)).items():
            by_score.setdefault(score_and_phase, []).append(replace(curve, title=title))
    columns = columns_of(summaries)
    rows = [
        (
            title,
            *score_cells(summary, columns),
            f"{summary['merges']:,}",
            f"{summary['uplink_bytes']:,}",
            f"{summary['downlink_bytes']:,}",
            energy_text(summary["energy_j"]),
            time_text(summary["virtual_time_s"]),
        )
        for title, summary in zip(titles, summaries, strict=True)
    ]
    header = ("run", *(phase_text(p) if score == ACCURACY else heading(score, p) for score, p in columns.values()))
    header += ("merges", "uplink [bytes]", "downlink [bytes]", "energy", "virtual time")
    parts = [page.section("Results", page.table(header, rows), note=data_note(runs))]
    for (score, phase), curves in by_score.items():
        name = score.key(phase)
        figures = [score_figure(curves, score=score, against=axis, name=name) for axis in ("time", "bytes")]
        parts.append(page.section(heading(score, phase), *map(page.figure, figures), note=direction(score)))
    if different := differing_settings(runs):
        rows_of_settings = [(key, *("-" if v is None else v for v in values)) for key, values in different]
        note = "; ".join(changed_configs(runs))
        parts.append(
            page.section("Settings that differ", page.table(("setting", *titles), rows_of_settings), note=note)
        )
    return page.page(f"{len(runs)} runs compared", parts)


def run_titles(runs: Sequence[RunDirectory]) -> list[str]:
    """Return the shortest endings of the runs' paths that tell them apart."""
    paths = [run.path.resolve() for run in runs]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        titles = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(titles)) == len(set(paths)):
            break
    return titles


def data_note(runs: Sequence[RunDirectory]) -> str:
    """Return what to know where finished runs have different data; "" if all have the same."""
    groups: dict[str, list[int]] = {}
    summaries = [run.summary() for run in runs]
    for place, summary in enumerate(summaries):
        groups.setdefault(str(summary.get("data_sha256", "")), []).append(place)
    if len(groups) < 2:
        return ""
    if reasons := [key for key, _ in differing_settings(runs) if key == "seed" or key.startswith("data.")]:
        return f"The runs have different data, as {', '.join(reasons)} say: their accuracies are of different rows."
    titles = run_titles(runs)
    told = [
        f"{', '.join(titles[place] for place in places)} "
        f"({listed([f'{name}: {n}' for name, n in summaries[places[0]].get('data', {}).items()]) or 'not noted'})"
        for places in groups.values()
    ]
    return f"The runs have different data though their settings are the same, so do not compare: {' - '.join(told)}."


def changed_configs(runs: Sequence[RunDirectory]) -> list[str]:
    """Return the complaint about each run whose ``config.toml`` is no longer its own."""
    found = []
    for run in runs:
        summary = run.summary()
        try:
            if "data_sha256" in summary:  # the digests of earlier versions are of other settings
                run.check_config(summary["config_sha256"])
        except CheckpointError as error:
            found.append(str(error))
    return found


def differing_settings(runs: Sequence[RunDirectory]) -> list[tuple[str, list[Any]]]:
    """Return the settings in which runs differ, each with its value in every run (None where unknown).

    Where results go and what stands beside them makes no difference to a run.
    """
    settings = [run.settings() for run in runs]
    keys = dict.fromkeys(key for flat in settings for key in flat if not key.startswith("results."))
    rows = [(key, [flat.get(key) for flat in settings]) for key in keys]
    return [(key, values) for key, values in rows if any(value != values[0] for value in values)]
