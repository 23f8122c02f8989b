"""What is claimed of the method and what we ask of it, beside what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np

from experiments.alignment import worth
from experiments.alignment.measures import Band, accuracy, gap, relative_error, title, uses_counted, zeta
from experiments.alignment.questions import Runs, over_uses
from experiments.alignment.settings import ANTENNAS, MIXED, SAME
from experiments.claims import Claim

Holds = Literal["yes", "no", "partly"]
HIGH: Final = 10.0  # ζ [%]: compression is called high up to there
FAR: Final = 0.10
SUMMARIES: Final = "summaries of the paper by others; its figures were not seen"


def claims(runs: Runs, questions: Sequence[str]) -> dict[str, list[Claim]]:
    """Return the claims of each question that was asked."""
    made = {"compression": compression, "groups": groups, "conditions": conditions}
    command, seeds = runs.scope.command, len(runs.scope.seeds)
    return {
        question: [replace(claim, command=command, seeds=seeds) for claim in made[question](runs)]
        for question in questions
        if question in made
    }


def compression(runs: Runs) -> list[Claim]:
    """Return what is claimed of accuracy over compression, of each number of antennas."""
    found = []
    for antennas in ANTENNAS:
        where = f"{antennas} x {antennas}"
        near = gaps(runs, "federated", "multi-link", antennas)
        high = {z: g for z, g in near.items() if z <= HIGH}
        claim = f"one precoder at least as accurate as one for each user where ζ is at most {HIGH:g} %, {where}"
        holds = at_least_equal(list(high.values()))
        found.append(_claim(claim, SUMMARIES, "above", _span(high), holds, "multi-link", _halves(high)))
        asked: list[tuple[str, str, float]] = [
            *((ours, baseline, FAR) for ours in ("federated", "multi-link") for baseline in ("first-k", "top-k")),
            *(("federated", baseline, 0.0) for baseline in ("eigen-k", "eigen-k-open")),
            ("federated-wide", "eigen-k-open", 0.0),
            ("federated-wide", "federated", 0.0),
        ]
        for ours, baseline, least in asked:
            above = gaps(runs, ours, baseline, antennas)
            far = "far " if least else ""
            source, value = (
                (SUMMARIES, f"above; we ask {100 * least:.0f} points") if least else ("ours", "above at every ζ")
            )
            claim = f"{title(ours)} {far}above {title(baseline)}, {where}"
            holds = above_by(list(above.values()), least)
            found.append(_claim(claim, source, value, _span(above), holds, title(baseline), _halves(above)))
    return found


def groups(runs: Runs) -> list[Claim]:
    """Return whether users who are alike share a precoder more easily than others, with all pilots."""
    if not {SAME, MIXED} <= set(runs.scope.groups):
        return []
    by_group = {group: sharing(runs, group) for group in (SAME, MIXED)}
    apart = gap(by_group[MIXED], by_group[SAME])
    holds: Holds = "yes" if apart.mean > worth.DEVIATIONS * apart.error else "partly" if apart.mean > 0 else "no"
    text = ", ".join(f"{group} {100 * np.mean(values):+.1f} %" for group, values in by_group.items())
    return [
        _claim(
            "homogeneous users lose less by sharing than heterogeneous ones (error of their latents)",
            "what the source's figure is drawn for, by its code", "less", text, holds, "multi-link",
        )
    ]  # fmt: skip


def sharing(runs: Runs, group: str) -> list[float]:
    """Return by what share the error over variance grows when precoders are shared, the mean over uses, by seed."""
    scope, grown = runs.scope, []
    for uses in scope.of.uses:
        scenario = replace(scope.base, group=group, uses=uses)
        shared, private = (runs.of(replace(scenario, method=m)) for m in ("federated", "multi-link"))
        grown.append([relative_error(a) / relative_error(b) - 1 for a, b in zip(shared, private, strict=True)])
    return [float(value) for value in np.mean(grown, axis=0)]


def conditions(runs: Runs) -> list[Claim]:
    """Return under how many conditions one precoder for all is worth it."""
    found = worth.of_all(runs)
    claims_ = []
    for place, (shared, private) in enumerate(worth.PAIRS):
        good = [verdicts[place].words == "yes" for _, verdicts in found]
        holds: Holds = "yes" if all(good) else "partly" if any(good) else "no"
        text = f"{sum(good)} of {len(good)}"
        claims_.append(
            _claim(
                f"{title(shared)}: one precoder for all is worth it", "ours; the rule stands in the README",
                "under all conditions", text, holds, title(private),
            )
        )  # fmt: skip
    return claims_


def gaps(runs: Runs, ours: str, theirs: str, antennas: int) -> Mapping[float, Band]:
    """Return how much more accurate ours is, by compression factor as reported [%]."""
    base = replace(runs.scope.base, antennas=antennas)
    base_size = int(runs.encoders()[0]["size"][0])
    by_uses = {
        method: {uses_counted(s): s for s in over_uses(base, method, runs.scope.of.uses)} for method in (ours, theirs)
    }
    found = {}
    for uses, scenario in by_uses[theirs].items():
        if uses in by_uses[ours]:
            left, right = ([accuracy(r) for r in runs.of(s)] for s in (by_uses[ours][uses], scenario))
            found[zeta(scenario, base_size)] = gap(left, right)
    return found


def at_least_equal(found: Sequence[Band]) -> Holds:
    """Return whether all gaps are at least 0; partly if all that are below 0 are within two standard errors of it."""
    if all(g.mean >= 0 for g in found):
        return "yes"
    return "partly" if all(g.mean >= -worth.DEVIATIONS * g.error for g in found) else "no"


def above_by(found: Sequence[Band], least: float) -> Holds:
    """Return whether all gaps are above ``least`` and two standard errors; partly if the mean of them is above 0."""
    if all(g.mean > max(least, worth.DEVIATIONS * g.error) for g in found):
        return "yes"
    return "partly" if np.mean([g.mean for g in found]) > 0 else "no"


def _span(found: Mapping[float, Band]) -> str:
    return ", ".join(f"ζ {z:.1f} %: {100 * g.mean:+.1f}" for z, g in found.items()) + " points"


def _halves(found: Mapping[float, Band]) -> str:
    return "95 %: ± " + ", ± ".join(f"{100 * g.half:.1f}" for g in found.values())


def _claim(
    claim: str, source: str, source_value: str, our_value: str, holds: Holds, baseline: str, spread: str = "-"
) -> Claim:
    return Claim(
        claim=claim,
        source=source,
        source_value=source_value,
        our_value=our_value,
        our_sd=spread,
        seeds=0,
        baseline=baseline,
        baseline_value="-",
        holds=holds,
        command="",
    )
