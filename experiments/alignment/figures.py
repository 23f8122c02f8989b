"""The figures: accuracy and network MSE by compression, accuracy by SNR, groups of users, and conditions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from experiments.alignment import worth
from experiments.alignment.measures import Band, accuracy, band, network_mse, title, zeta
from experiments.alignment.questions import COMPARED, CONVENTIONS, OVER_SNR, Runs, over_uses
from experiments.alignment.settings import ANTENNAS, SHARES, SNRS_DB, Scenario
from experiments.alignment.tables import NOISE, ZETA, complex_size

STYLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "federated": {"color": "C3", "marker": "o", "linewidth": 2.0},
    "multi-link": {"color": "C0", "marker": "s"},
    "first-k": {"color": "0.6", "marker": "v"},
    "top-k": {"color": "0.35", "marker": "^"},
    "eigen-k": {"color": "C2", "marker": "d", "linestyle": ":"},
    "federated-wide": {"color": "C3", "marker": "o", "linestyle": "--", "markerfacecolor": "white", "linewidth": 2.0},
    "multi-link-wide": {"color": "C0", "marker": "s", "linestyle": "--", "markerfacecolor": "white"},
    "eigen-k-open": {"color": "C2", "marker": "d"},
    "eigen-k-own": {"color": "C2", "marker": "d", "linestyle": "--", "markerfacecolor": "white"},
    "released": {"color": "C1", "marker": "x"},
}
HUES: Final = ("C3", "C0", "C2")
LINES: Final = {0.1: ":", 0.5: "--", 1.0: "-"}
DPI = 130
Curve = list[tuple[float, Band]]
Measure = Callable[[Mapping[str, Any], Scenario], float]


def draw(runs: Runs, folder: Path, questions: Iterable[str]) -> list[str]:
    """Draw the figures of the questions that were asked; return their names."""
    import matplotlib

    matplotlib.use("Agg")
    drawn: dict[str, Any] = {}
    if "compression" in questions:
        drawn["compression"] = compression(runs, lambda r, s: accuracy(r), "accuracy, mean of users")
        drawn["network-mse"] = compression(runs, network_mse, "network MSE: sum over users of MSE / K", log=True)
    if "snr" in questions:
        drawn["snr"] = over_snr(runs)
    if "groups" in questions:
        drawn["groups"] = groups(runs)
    if "conditions" in questions:
        drawn["conditions"] = conditions(runs)
    for name, figure in drawn.items():
        figure.savefig(folder / f"{name}.png", dpi=DPI, bbox_inches="tight")
    return list(drawn)


def curve(runs: Runs, scenarios: Sequence[Scenario], measure: Measure) -> Curve:
    """Return a measure with its band by compression factor [%]."""
    size = 2 * complex_size(runs)
    return [(zeta(s, size), band([measure(r, s) for r in runs.of(s)])) for s in scenarios]


def compression(runs: Runs, measure: Measure, label: str, *, log: bool = False) -> Any:
    """Draw a measure by compression factor, a panel for each number of antennas."""
    figure, panels = _panels(1, len(ANTENNAS), sharey=True)
    for axes, antennas in zip(panels[0], ANTENNAS, strict=True):
        base = replace(runs.scope.base, antennas=antennas)
        for method in COMPARED:
            found = curve(runs, over_uses(base, method, runs.scope.of.uses), measure)
            _line(axes, found, log=log, label=title(method), **STYLES[method])
        axes.set_title(f"{antennas} x {antennas}", fontsize=10)
        axes.set_xlabel("compression factor ζ [%]")
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    panels[0][0].set_ylabel(label)
    told = f"{runs.scope.base.snr_db:g} dB, {NOISE['code']}"
    _finish(figure, panels[0][0], runs, f"{told}; no band where it would reach below 0" if log else told)
    return figure


def over_snr(runs: Runs) -> Any:
    """Draw accuracy by signal-to-noise ratio, a row for each noise convention and a column for each number of uses."""
    scope = runs.scope
    figure, panels = _panels(len(CONVENTIONS), len(scope.of.snr_uses), sharey=True)
    for row, convention in zip(panels, CONVENTIONS, strict=True):
        for axes, uses in zip(row, scope.of.snr_uses, strict=True):
            base = replace(scope.base, convention=convention)  # type: ignore[arg-type]  # one of the two
            for method in OVER_SNR:
                for scenario in over_uses(base, method, (uses,)):
                    found: Curve = [
                        (snr_db, band([accuracy(r) for r in runs.of(replace(scenario, snr_db=snr_db))]))
                        for snr_db in SNRS_DB
                    ]
                    _line(axes, found, label=title(method), **STYLES[method])
            axes.set_title(f"K = {uses}, ζ = {100 * uses / complex_size(runs):.1f} %\n{NOISE[convention]}", fontsize=8)
            axes.set_xlabel("SNR [dB]")
            axes.set_ylim(bottom=0)
        row[0].set_ylabel("accuracy, mean of users")
    last = panels[0][-1]
    antennas = scope.base.antennas
    _finish(figure, last, runs, f"{antennas} x {antennas}; noise convention above each panel")
    return figure


def groups(runs: Runs) -> Any:
    """Draw accuracy and network MSE of groups of users by compression factor, with several shares of the pilots."""
    scope = runs.scope
    figure, panels = _panels(1, 2)
    measures: Sequence[tuple[Measure, str]] = (
        (lambda r, s: accuracy(r), "accuracy, mean of users"),
        (network_mse, "network MSE: sum over users of MSE / K"),
    )
    for axes, (measure, label) in zip(panels[0], measures, strict=True):
        for hue, group in zip(HUES, scope.small_groups, strict=False):
            for share in SHARES:
                base = replace(scope.base, group=group, share=share)
                found = curve(runs, over_uses(base, "federated", scope.of.uses), measure)
                _line(
                    axes,
                    found,
                    label=f"{group}, {100 * share:g} % of pilots",
                    color=hue,
                    linestyle=LINES[share],
                    marker="o",
                )
        axes.set_xlabel("compression factor ζ [%]")
        axes.set_ylabel(label)
    panels[0][1].set_yscale("log")
    antennas = scope.base.antennas
    _finish(
        figure, panels[0][0], runs, f"federated, {antennas} x {antennas}, {scope.base.snr_db:g} dB, {NOISE['code']}"
    )
    return figure


def conditions(runs: Runs) -> Any:
    """Draw how a shared precoder compares with private ones and with the better plain broadcast, by condition."""
    from matplotlib.figure import Figure

    found = worth.of_all(runs)
    figure = Figure(figsize=(10.5, 1.6 + 0.27 * len(found)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for place, (shared, _) in enumerate(worth.PAIRS):
        color, shift = ("C3", "C1")[place], 0.14 * (2 * place - 1)
        for axes, name in zip(panels, ("above_private", "above_plain"), strict=True):
            bands: list[Band] = [getattr(verdicts[place], name) for _, verdicts in found]
            axes.errorbar(
                [100 * b.mean for b in bands], [row + shift for row in range(len(bands))],
                xerr=[100 * b.half for b in bands],
                fmt="o", markersize=4, capsize=2, linewidth=1, color=color, label=title(shared),
            )  # fmt: skip
    for axes, label in zip(
        panels, ("above own precoders [points]", "above the better plain broadcast [points]"), strict=True
    ):
        axes.axvline(0, color="0.4", linewidth=0.8)
        axes.grid(alpha=0.25)
        axes.set_xlabel(label)
    near = f"up to {100 * worth.NEAR:g} point behind: still near enough"
    panels[0].axvspan(-100 * worth.NEAR, 0, color="0.9", zorder=0, label=near)
    panels[0].set_yticks(range(len(found)), [f"{c.kind}: {c.words}" for c, _ in found], fontsize=8)
    panels[0].set_ylim(len(found) - 0.4, -0.6)
    base = runs.scope.base
    factor = f"ζ = {zeta(base, 2 * complex_size(runs)):.1f} %"
    told = f"K = {base.uses}, {factor}, {base.antennas} x {base.antennas}, {base.snr_db:g} dB if not said otherwise"
    _finish(figure, panels[0], runs, f"{told}; {NOISE['code']}")
    return figure


def _line(axes: Any, found: Curve, *, log: bool = False, **style: Any) -> None:
    """Draw a curve with its band; on a logarithmic axis no band can be drawn where it reaches below 0."""
    at, bands = [x for x, _ in found], [b for _, b in found]
    axes.plot(at, [b.mean for b in bands], markersize=4, **{"linewidth": 1.3, **style})
    low, high = [b.mean - b.half for b in bands], [b.mean + b.half for b in bands]
    shown = [not log or bottom > 0 for bottom in low]
    axes.fill_between(at, low, high, where=shown, color=style["color"], alpha=0.12, linewidth=0)


def _panels(rows: int, columns: int, **shared: Any) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * columns, 3.9 * rows + 1.0), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **shared)
    for axes in panels.flat:
        axes.grid(alpha=0.25)
    return figure, panels


def _finish(figure: Any, axes: Any, runs: Runs, told: str) -> None:
    """Write onto a figure of what it is, and by which conventions, and what its lines are."""
    scope = runs.scope
    where = f"{scope.of.title}, {len(scope.seeds)} seeds, mean and 95 % interval; {ZETA}, m = {complex_size(runs)}"
    figure.suptitle(f"{where}\n{told}", fontsize=9)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=3)
