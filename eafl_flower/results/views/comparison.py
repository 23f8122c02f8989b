"""Several runs side by side: what they are called, what differs, what must not be compared."""

from collections.abc import Sequence
from typing import Any

from eafl_flower.core.provenance import listed
from eafl_flower.errors import CheckpointError
from eafl_flower.results.run_directory import RunDirectory


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
        verb = "says" if len(reasons) == 1 else "say"
        return f"The runs have different data, as {', '.join(reasons)} {verb}: their accuracies are of different rows."
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
