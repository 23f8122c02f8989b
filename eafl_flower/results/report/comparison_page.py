"""Several runs side by side as an HTML page."""

from collections.abc import Sequence
from dataclasses import replace

from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.results.report import page
from eafl_flower.results.report.figures import Curve, curves_of, phase_term, score_figure
from eafl_flower.results.report.terms import term, terms_section
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.scores import declared_scores
from eafl_flower.results.views.comparison import changed_configs, data_note, differing_settings, run_titles
from eafl_flower.results.views.quantities import bytes_text, energy_text, time_text
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
            bytes_text(summary["uplink_bytes"]),
            bytes_text(summary["downlink_bytes"]),
            energy_text(summary["energy_j"]),
            time_text(summary["virtual_time_s"]),
        )
        for title, summary in zip(titles, summaries, strict=True)
    ]
    scores = [phase_term(p) if score == ACCURACY and p else heading(score, p) for score, p in columns.values()]
    header = ("run", *scores, term("merge", "merges"), "uplink", "downlink", "energy", "time")
    warnings = [page.paragraph(line, "warning") for line in filter(None, [data_note(runs), *changed_configs(runs)])]
    parts: list[str] = [*warnings, page.section("Results", page.table(header, rows))]
    for score in dict.fromkeys(score for score, _ in by_score):
        drawn = [
            score_figure(
                curves,
                score=score,
                against=axis,
                name=score.key(phase),
                title=f"{phase_text(phase) or score.title}, {words}",
                note=direction(score),
                clock="time",
            )
            for (of, phase), curves in by_score.items()
            if of == score
            for axis, words in (("time", "over time"), ("bytes", "for what was sent"))
        ]
        parts.append(page.section(heading(score, ""), page.figures(*drawn)))
    if different := differing_settings(runs):
        rows_of_settings = [(key, *("-" if v is None else v for v in values)) for key, values in different]
        table = page.table(("setting", *titles), rows_of_settings, text_columns=len(titles) + 1)
        parts.append(page.section("Settings that differ", table))
    return page.page(f"{len(runs)} runs compared", [*parts, terms_section(parts)], kind="Comparison")
