"""What the source claims and what we ask of the method, beside what was measured."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np

from experiments.claims import Claim
from experiments.eafl_alp.statistics import Mean, mean_of
from experiments.ucb_dual.measures import Recording, departures, price_share, violation, worst_window
from experiments.ucb_dual.questions import OURS, Runs, Scope, title
from experiments.ucb_dual.settings import task_title
from experiments.ucb_dual.tables import energies

Holds = Literal["yes", "no", "partly"]
BASELINES: Final = ("homolora", "hetlora", "flexlora", "fedra")
LATENCY, POINTS = 0.24, 0.025  # of the abstract: lower at least by this share, higher at least by so much
MOST_OVER, MOST_IN_WINDOW = 0.02, 0.10
PRICED: Final = (0.20, 0.95)
HANDOVERS: Final = 1.0
NEAR, SHORTER = 0.005, 0.20


def claims(scope: Scope, runs: Runs) -> list[Claim]:
    """Return the claims, of each baseline that was run."""
    ours = runs.of(replace(scope.base, method=OURS))
    others = {m: runs.of(replace(scope.base, method=m)) for m in BASELINES if m in scope.compared}
    found = [*_latencies(ours, others), *_accuracies(ours, others), *_trade_off(ours, others)]
    found += [_budget(ours), _windows(ours), _priced(ours, scope.base.tasks), _handovers(ours), _departures(ours)]
    return [replace(claim, seeds=len(scope.seeds), command=scope.command) for claim in found]


def judged(gap: Mean, least: float) -> Holds:
    """Return whether a gap bears out a claim of ``least``: partly if it is only above two standard errors of it."""
    if gap.mean >= least:
        return "yes"
    return "partly" if gap.mean > 0 and gap.mean > 2 * gap.sd / np.sqrt(gap.n) else "no"


def all_or_mean(values: Sequence[float], most: float) -> Holds:
    """Return whether all values are at most ``most``; partly if only their mean is."""
    if max(values) <= most:
        return "yes"
    return "partly" if np.mean(values) <= most else "no"


def latency_saved(ours: Sequence[Recording], theirs: Sequence[Recording]) -> Mean:
    """Return by what share our rounds are shorter than theirs, paired by seed."""
    return mean_of([1 - a.latency_s.sum() / b.latency_s.sum() for a, b in zip(ours, theirs, strict=True)])


def points_above(ours: Sequence[Recording], theirs: Sequence[Recording]) -> Mean:
    """Return by how much our mean accuracy over tasks is above theirs, paired by seed."""
    return mean_of([a.mean_accuracy() - b.mean_accuracy() for a, b in zip(ours, theirs, strict=True)])


def _claim(claim: str, source: str, source_value: str, our_value: str, our_sd: str, holds: Holds) -> Claim:
    return Claim(
        claim=claim,
        source=source,
        source_value=source_value,
        our_value=our_value,
        our_sd=our_sd,
        seeds=0,
        baseline="-",
        baseline_value="-",
        holds=holds,
        command="",
    )


def _latencies(ours: Sequence[Recording], others: dict[str, list[Recording]]) -> list[Claim]:
    found = []
    for method, theirs in others.items():
        gap = latency_saved(ours, theirs)
        claim = _claim(
            f"latency below that of {title(method)}",
            "abstract; of which baseline it does not say",
            f"at least {100 * LATENCY:.0f} % lower",
            f"{100 * gap.mean:.1f} % lower",
            f"{100 * gap.sd:.1f}",
            judged(gap, LATENCY),
        )
        latency = np.mean([f.latency_s.mean() for f in theirs])
        found.append(replace(claim, baseline=title(method), baseline_value=f"{latency:.3g} s a round"))
    return found


def _accuracies(ours: Sequence[Recording], others: dict[str, list[Recording]]) -> list[Claim]:
    found = []
    for method, theirs in others.items():
        gap = points_above(ours, theirs)
        claim = _claim(
            f"mean accuracy above that of {title(method)}",
            "abstract; points or percent it does not say",
            f"at least {100 * POINTS:.1f} points higher",
            f"{100 * gap.mean:+.1f} points",
            f"{100 * gap.sd:.1f}",
            judged(gap, POINTS),
        )
        accuracy = mean_of([f.mean_accuracy() for f in theirs])
        found.append(replace(claim, baseline=title(method), baseline_value=f"{accuracy} %"))
    return found


def _trade_off(ours: Sequence[Recording], others: dict[str, list[Recording]]) -> list[Claim]:
    if not others:
        return []
    best = max(others, key=lambda method: float(np.mean([f.mean_accuracy() for f in others[method]])))
    gap, saved = points_above(ours, others[best]), latency_saved(ours, others[best])
    near, short = gap.mean >= -NEAR, saved.mean >= SHORTER
    claim = _claim(
        "as accurate as the most accurate baseline in less time",
        "ours",
        f"at most {100 * NEAR:g} points lower, latency at least {100 * SHORTER:.0f} % lower",
        f"{100 * gap.mean:+.1f} points, {100 * saved.mean:.1f} % lower",
        f"{100 * gap.sd:.1f}; {100 * saved.sd:.1f}",
        "yes" if near and short else "partly" if near or short else "no",
    )
    return [replace(claim, baseline=title(best))]


def _budget(ours: Sequence[Recording]) -> Claim:
    worst = [float(violation(*energies(f)).max()) for f in ours]
    every = [float(value) for f in ours for value in violation(*energies(f))]
    over = mean_of(worst)
    return _claim(
        "mean energy of the rounds after the tenth within the budget, each task",
        "ours",
        f"at most {100 * MOST_OVER:.0f} % over",
        f"worst task {100 * over.mean:.1f} % over, mean of tasks {100 * np.mean(every):.1f} %",
        f"{100 * over.sd:.1f}",
        all_or_mean(every, MOST_OVER),
    )


def _windows(ours: Sequence[Recording]) -> Claim:
    worst = [float(worst_window(*energies(f)).max()) for f in ours]
    over = mean_of(worst)
    least = np.mean([worst_window(f.by_round("budget_j"), f.least_used_j).max() for f in ours])
    return _claim(
        "energy in any five rounds after the tenth within the budget, each task",
        "ours",
        f"at most {100 * MOST_IN_WINDOW:.0f} % over",
        f"worst window {100 * over.mean:.1f} % over; as many jobs at rank 4: {100 * least:.1f} %",
        f"{100 * over.sd:.1f}",
        all_or_mean(worst, MOST_IN_WINDOW),
    )


def _priced(ours: Sequence[Recording], tasks: Sequence[str]) -> Claim:
    shares = np.mean([price_share(f.by_round("price")) for f in ours], axis=0)
    within = [PRICED[0] <= share <= PRICED[1] for share in shares]
    return _claim(
        "energy has a price in some of the rounds",
        "ours: the machinery is at work",
        f"{100 * PRICED[0]:.0f} to {100 * PRICED[1]:.0f} %, each task",
        ", ".join(f"{task_title(task)} {100 * share:.0f} %" for task, share in zip(tasks, shares, strict=True)),
        "-",
        "yes" if all(within) else "partly" if any(within) else "no",
    )


def _handovers(ours: Sequence[Recording]) -> Claim:
    found = mean_of([f.handovers for f in ours])
    return _claim(
        "hand-overs of a vehicle in 15 rounds",
        "ours: the machinery is at work",
        f"at least {HANDOVERS:g}",
        f"{found.mean:.1f}",
        f"{found.sd:.1f}",
        "yes" if found.mean >= HANDOVERS else "no",
    )


def _departures(ours: Sequence[Recording]) -> Claim:
    counted = [departures(f.jobs) for f in ours]
    names = ("early", "migrate", "abandon")
    sums = {name: sum(c[name] for c in counted) for name in names}
    everywhere = all(c[name] for c in counted for name in names)
    return _claim(
        "vehicles that leave upload early, migrate and abandon",
        "ours: the machinery is at work",
        "each at least once in a run",
        ", ".join(f"{name} {sums[name]}" for name in names) + ", all seeds together",
        "-",
        "yes" if everywhere else "partly" if any(sums.values()) else "no",
    )
