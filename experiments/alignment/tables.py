"""Tables of what was measured, a line for each method, encoder, condition or exchange."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, get_args

import numpy as np

from eafl_flower.alignment.settings import Exchange, Links
from experiments.alignment import costs, worth
from experiments.alignment.measures import (
    accuracy,
    band,
    clean_accuracy,
    gap,
    network_mse,
    relative_error,
    title,
    uses_counted,
)
from experiments.alignment.questions import (
    COMPARED,
    CONVENTIONS,
    IN_CONDITIONS,
    OVER_SNR,
    VARIANTS,
    Runs,
    conditions,
    over_uses,
    relevant,
)
from experiments.alignment.settings import ALIGNERS, ANTENNAS, RADIOS, SHARES, SNRS_DB, Scenario

Line = tuple[str, ...]
NONE: Final = "-"
NOISE: Final = {
    "code": "noise √(1 / (N_R SNR)) / K, channel entries of variance 1/2 (as released)",
    "per_symbol": "noise √(P / (K N_T SNR)), channel entries of variance 1 (consistent)",
}
ZETA: Final = "ζ = K / m"
INTERVAL: Final = "mean and 95 % interval"


def classifiers(runs: Runs) -> tuple[Line, list[Line]]:
    """Return header and lines: each encoder's classifier, and how alike its space is."""
    found = runs.encoders()
    first = found[0]
    header = ("encoder", "numbers", "own classifier [%]", "above raw pixels [points]", "CKA with the access point's")
    lines: list[Line] = []
    for place, encoder in enumerate(first["encoders"]):
        own = band([result["accuracy"][place] for result in found])
        above = 100 * (own.mean - first["pixels"])
        likeness = f"{first['likeness'][place]:.3f}"
        lines.append((encoder, str(first["size"][place]), str(own), f"{above:+.1f}", likeness))
    lines.append(("raw pixels, linear", NONE, f"{100 * first['pixels']:.1f}", NONE, NONE))
    return header, lines


def compression(runs: Runs, methods: Sequence[str], antennas: int, what: str) -> tuple[Line, list[Line]]:
    """Return header and lines: accuracy [%] or network MSE by compression factor."""
    scope = runs.scope
    half = complex_size(runs)
    header = ("method", *(f"ζ = {100 * uses / half:.1f} %" for uses in scope.of.uses))
    lines: list[Line] = []
    for method in methods:
        by_uses = {}
        for scenario in over_uses(replace(scope.base, antennas=antennas), method, scope.of.uses):
            found = runs.of(scenario)
            if what == "accuracy":
                by_uses[uses_counted(scenario)] = str(band([accuracy(result) for result in found]))
            else:
                by_uses[uses_counted(scenario)] = f"{np.mean([network_mse(r, scenario) for r in found]):.3g}"
        lines.append((title(method), *(by_uses.get(uses, NONE) for uses in scope.of.uses)))
    return header, lines


def snr(runs: Runs, convention: str) -> tuple[Line, list[Line]]:
    """Return header and lines: accuracy [%] by signal-to-noise ratio."""
    scope = runs.scope
    header = ("method", "K", *(f"{snr_db:g} dB" for snr_db in SNRS_DB))
    lines: list[Line] = []
    for method in OVER_SNR:
        for scenario in over_uses(replace(scope.base, convention=convention), method, scope.of.snr_uses):  # type: ignore[arg-type]
            found = [runs.of(replace(scenario, snr_db=snr_db)) for snr_db in SNRS_DB]
            values = [str(band([accuracy(result) for result in results])) for results in found]
            lines.append((title(method), str(uses_counted(scenario)), *values))
    return header, lines


def groups(runs: Runs) -> tuple[Line, list[Line]]:
    """Return header and lines: groups of four users; what sharing costs them, and the likeness of their spaces."""
    scope = runs.scope
    header = (
        "users", "pilots", "K", "clean [%]", "federated [%]", "multi-link [%]", "sharing gains [points]",
        "error / variance", "of multi-link", "network MSE",
    )  # fmt: skip
    lines: list[Line] = []
    for group in scope.small_groups:
        for share in SHARES:
            for uses in scope.of.uses:
                scenario = replace(scope.base, group=group, share=share, uses=uses)
                shared, private = (runs.of(replace(scenario, method=m)) for m in ("federated", "multi-link"))
                ours, theirs = ([accuracy(r) for r in results] for results in (shared, private))
                lines.append(
                    (
                        group,
                        f"{100 * share:g} %, {shared[0]['num_pilots']}",
                        str(uses),
                        str(band([clean_accuracy(r) for r in shared])),
                        str(band(ours)),
                        str(band(theirs)),
                        str(gap(ours, theirs)),
                        f"{np.mean([relative_error(r) for r in shared]):.3f}",
                        f"{np.mean([relative_error(r) for r in private]):.3f}",
                        f"{np.mean([network_mse(r, scenario) for r in shared]):.3g}",
                    )
                )
    return header, lines


def aligners(runs: Runs) -> tuple[Line, list[Line]]:
    """Return header and lines: digital aligners without a channel, and with the best features over links."""
    header = ("aligner", "only sums of pilots", *RADIOS.values())
    lines: list[Line] = []
    for name, (words, aligner) in ALIGNERS.items():
        found = [runs.of(replace(runs.scope.base, method=f"{name}/{radio}")) for radio in RADIOS]
        values = [str(band([accuracy(result) for result in results])) for results in found]
        lines.append((words, "yes" if aligner.federated else "no", *values))
    return header, lines


def worth_it(runs: Runs) -> tuple[Line, list[Line]]:
    """Return header and lines: conditions, and whether one precoder for all is worth it under them."""
    header = (
        "", "condition", "federated", "multi-link", "worth it", "real maps: federated", "multi-link", "worth it",
        *(title(method) for method in IN_CONDITIONS[4:]),
    )  # fmt: skip
    lines: list[Line] = []
    for condition, verdicts in worth.of_all(runs):
        changed = replace(runs.scope.base, **condition.changes)
        plain = [band([accuracy(r) for r in runs.of(replace(changed, method=m))]) for m in IN_CONDITIONS[4:]]
        judged = [text for v in verdicts for text in (str(v.shared), str(v.private), v.words)]
        lines.append((condition.kind, condition.words, *judged, *map(str, plain)))
    return header, lines


def late(runs: Runs) -> tuple[Line, list[Line]]:
    """Return header and lines: accuracy [%] of users who are there from the first round and of others."""
    header = ("condition", *(f"{title(m)}: {who}" for m in IN_CONDITIONS[:4] for who in ("early", "late")))
    lines: list[Line] = []
    known = [c for c in conditions(runs.scope) if c.kind in ("as it is", "late users")]
    for condition in known:
        values = []
        for method in IN_CONDITIONS[:4]:
            found = runs.of(replace(runs.scope.base, method=method, **condition.changes))
            values += [
                str(band([accuracy(r, users) for r in found])) for users in (slice(0, None, 2), slice(1, None, 2))
            ]
        lines.append(("all from the first" if condition.kind == "as it is" else condition.words, *values))
    return header, lines


def bytes_and_work(runs: Runs, shape: costs.Shape) -> tuple[Line, list[Line]]:
    """Return header and lines: what shared and private precoders cost, by pilots and by their sums."""
    header = (
        "precoders", "rounds carry", "once before [kB]", "down, a round [kB]", "up, a round [kB]", "all rounds [MB]",
        "a user's round [10⁶]", "access point's round [10⁶]", "image, access point", "image, a user", "image, uses",
    )  # fmt: skip
    lines: list[Line] = []
    for links in get_args(Links):
        for exchange in get_args(Exchange):
            once, down = costs.before_bytes(shape, exchange), costs.downlink_bytes(shape, links, exchange)
            up = costs.uplink_bytes(shape, exchange)
            users = [costs.user_round_macs(shape, own, exchange) for own in shape.own]
            lines.append(
                (
                    links,
                    exchange,
                    f"{once / 1e3:,.1f}",
                    f"{down / 1e3:,.1f}",
                    f"{up / 1e3:,.1f}",
                    f"{(once + shape.rounds * (down + up)) / 1e6:,.2f}",
                    f"{np.mean(users) / 1e6:.2f}",
                    f"{costs.access_point_round_macs(shape, links, exchange) / 1e6:.2f}",
                    f"{costs.access_point_image_macs(shape, links):,}",
                    f"{np.mean([costs.user_image_macs(shape, own) for own in shape.own]):,.0f}",
                    str(costs.image_uses(shape, links)),
                )
            )
    return header, lines


def shape_of(runs: Runs) -> costs.Shape:
    """Return the shape of the usual scenario."""
    scenario = runs.scope.base
    (result, *_) = runs.of(scenario)
    return costs.Shape(
        uses=scenario.uses,
        antennas=scenario.antennas,
        dimensions=(result["base_size"] + 1) // 2,
        own=tuple((size + 1) // 2 for size in result["sizes"]),
        num_pilots=result["num_pilots"],
        rounds=scenario.rounds,
    )


def complex_size(runs: Runs) -> int:
    """Return the complex dimensions m of the access point."""
    return (int(runs.encoders()[0]["size"][0]) + 1) // 2


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(header)} |", "|" + "---|" * len(header), *rows])


def about(scenario: Scenario, seeds: int, shown: str = INTERVAL) -> str:
    """Return what stands with every result: of what it is, and by which conventions."""
    antennas = f"{scenario.antennas} x {scenario.antennas}"
    return f"{antennas}, {scenario.snr_db:g} dB, {NOISE[scenario.convention]}; {seeds} seeds, {shown}"


def written(runs: Runs, question: str) -> str:
    """Return the tables of a question as text."""
    scope, base = runs.scope, relevant(runs.scope.base)
    seeds, usual = len(scope.seeds), about(base, len(scope.seeds))
    at = f"K = {base.uses}, {usual}"
    Made = Callable[[], tuple[Line, list[Line]]]

    def by_antennas(what: str) -> list[tuple[str, Made]]:
        words, shown = (
            ("Accuracy [%]", INTERVAL) if what == "accuracy" else ("Network MSE, sum over users of MSE / K,", "mean")
        )
        made: list[tuple[str, Made]] = []
        for antennas in ANTENNAS:
            told = f"{words} by {ZETA}: {about(replace(base, antennas=antennas), seeds, shown)}"
            more = VARIANTS if antennas == base.antennas else ()
            made.append((told, lambda a=antennas, m=more: compression(runs, (*COMPARED, *m), a, what)))  # type: ignore[misc]
        return made

    made: dict[str, list[tuple[str, Made]]] = {
        "classifiers": [(f"Encoders: {seeds} seeds of classifiers", lambda: classifiers(runs))],
        "compression": [*by_antennas("accuracy"), *by_antennas("mse")],
        "snr": [
            (
                f"Accuracy [%]: {base.antennas} x {base.antennas}, {NOISE[c]}; {seeds} seeds, {INTERVAL}",
                lambda c=c: snr(runs, c),  # type: ignore[misc]
            )
            for c in CONVENTIONS
        ],
        "groups": [(f"Groups of four users: {usual}", lambda: groups(runs))],
        "aligners": [(f"Accuracy [%] of aligners, best features: {at}", lambda: aligners(runs))],
        "conditions": [
            (f"When one precoder for all is worth it, accuracy [%]: {at}", lambda: worth_it(runs)),
            (f"Users who come later, accuracy [%]: {at}", lambda: late(runs)),
        ],
        "costs": [("Bytes and complex multiplications", lambda: bytes_and_work(runs, shape_of(runs)))],
    }
    text = "\n\n".join(f"### {heading}\n\n{table(*lines())}" for heading, lines in made[question])
    if question == "costs":
        shape = shape_of(runs)
        text += (
            f"\n\n{shape.num_users} users of {min(shape.own)} to {max(shape.own)} complex dimensions, m = "
            f"{shape.dimensions}, K = {shape.uses}, {shape.antennas} x {shape.antennas}, n = {shape.num_pilots}, "
            f"{shape.rounds} rounds; work in complex multiplications, of an image in all to all users. "
            "Real maps send twice the bytes a round: 2 K N_T x 2 m real numbers for K N_T x m complex ones, and so on."
        )
    return text
