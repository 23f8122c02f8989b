"""The figures: what federation and the codec leave of the gap, which head serves whom, and the race of the fleet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cells import Store
from experiments.eafl_alp import asynchrony, federation, heads
from experiments.eafl_alp.federation import ALL_SCORES, SCORES, Scope
from experiments.eafl_alp.statistics import mean_of, smoothed


def draw(scope: Scope, store: Store, folder: Path, questions: Sequence[str]) -> None:
    """Draw the figures of the questions that were asked."""
    import matplotlib

    matplotlib.use("Agg")
    if "federation" in questions:
        _gaps(scope, store).savefig(folder / "federation.png", dpi=120, bbox_inches="tight")
    if "heads" in questions:
        _heads(scope, store).savefig(folder / "heads.png", dpi=120, bbox_inches="tight")
    if "asynchrony" in questions:
        _races(scope, store).savefig(folder / "asynchrony.png", dpi=120, bbox_inches="tight")


def _gaps(scope: Scope, store: Store) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(scope.datasets), 3.6))
    rows = {"no communication": "none", "LQGCM": "", "exact updates": ""}
    judged = federation.fit_pairs(scope, store)
    for column, dataset in enumerate(scope.datasets):
        axes = figure.add_subplot(1, len(scope.datasets), column + 1)
        for offset, title in enumerate(rows):
            if title == "LQGCM":
                results = [store[federation.row(scope, dataset, title, seed)] for seed in scope.fit_seeds]
            else:
                results = [store[federation.anchor(scope, dataset, seed)] for seed in scope.fit_seeds]
                results = [r["none"] for r in results] if title == "no communication" else results
            means = [mean_of([r[score] for r in results]) for score in SCORES]
            places = np.arange(len(SCORES)) + 0.27 * (offset - 1)
            heights, deviations = [100 * m.mean for m in means], [100 * m.sd for m in means]
            axes.bar(places, heights, 0.25, yerr=deviations, capsize=2, label=title)
        names = [f"{score}{'' if judged[dataset, score].fit else ' (unfit)'}" for score in SCORES]
        axes.set_xticks(range(len(SCORES)), names, fontsize=8)
        axes.set_title(dataset)
        axes.set_ylim(bottom=0)
        if column == 0:
            axes.set_ylabel("accuracy [%]")
            handles, labels = axes.get_legend_handles_labels()
            figure.legend(handles, labels, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, -0.05), ncols=len(rows))
    return figure


def _heads(scope: Scope, store: Store) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(scope.datasets), 3.6))
    for column, dataset in enumerate(scope.datasets):
        axes = figure.add_subplot(1, len(scope.datasets), column + 1)
        lookup = [store[federation.anchor(scope, dataset, seed)]["lookup"] for seed in scope.fit_seeds]
        for offset, (kind, name) in enumerate(heads.KINDS.items()):
            results = [heads.result_of(scope, store, dataset, name, seed) for seed in scope.fit_seeds]
            for place, score in enumerate(ALL_SCORES):
                if all(score in r for r in results):
                    mean = mean_of([r[score] for r in results])
                    axes.bar(
                        place + 0.27 * (offset - 1), 100 * mean.mean, 0.25, yerr=100 * mean.sd, capsize=2,
                        color=f"C{offset}", label=f"{kind} head{'s' * (kind == 'both')}",
                    )  # fmt: skip
        for place, score in enumerate(ALL_SCORES):
            level = 100 * mean_of([r[score] for r in lookup]).mean
            axes.hlines(level, place - 0.45, place + 0.45, color="black", linewidth=1, label="look-up of one feature")
        axes.set_xticks(range(len(ALL_SCORES)), ALL_SCORES, fontsize=8)
        axes.set_title(dataset)
        axes.set_ylim(bottom=0)
        if column == 0:
            axes.set_ylabel("accuracy [%]")
            handles, labels = axes.get_legend_handles_labels()
            named = dict(zip(labels, handles, strict=True))
            figure.legend(
                named.values(), named.keys(), fontsize=8,
                loc="lower center", bbox_to_anchor=(0.5, -0.05), ncols=len(named),
            )  # fmt: skip
    return figure


def _races(scope: Scope, store: Store) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.8))
    for column, churn in enumerate((False, True)):
        axes = figure.add_subplot(1, 2, column + 1)
        for method in asynchrony.chosen(scope, store):
            results, _ = asynchrony.results_of(scope, store, method, churn=churn)
            length = min(len(r["curve"]) for r in results)
            times = np.mean([[line[1] for line in r["curve"][:length]] for r in results], axis=0)
            scores = [smoothed([line[asynchrony.COLUMN] for line in r["curve"][:length]]) for r in results]
            axes.plot(times, 100 * np.mean(scores, axis=0), label=method)
        target = mean_of(
            [
                asynchrony.target_of(store[asynchrony.sync_cell(seed, churn=churn, scope=scope, store=store)])
                for seed in scope.fit_seeds
            ]
        )
        axes.axhline(100 * target.mean, color="grey", linewidth=0.8, linestyle="--", label="target")
        axes.set_xscale("log")
        axes.set_xlabel("virtual time [s]")
        axes.set_ylabel("accuracy before training [%]")
        axes.set_title(f"slowdown {asynchrony.SLOWDOWN}, {'with' if churn else 'without'} churn", fontsize=10)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, -0.08), ncols=len(labels))
    return figure
