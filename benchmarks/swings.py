"""How far a preset's scores swing from one evaluation to the next, where the preset sets a step of its own.

    python benchmarks/swings.py [--presets emam,ngsim]

Runs every preset of strategies/ that sets ``alpha`` (without baselines, with its own seed; recorded data by
``EAFL_DATA_DIR``) and prints the standard deviation of its last ten evaluations of each score, in points, where it is
evaluated forty times: the last quarter of the run. At most 0.9 are wanted. Rows of presets that are not run stay.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from report import RESULTS, row, write_rows

from eafl_flower.config.files import flat
from eafl_flower.results.run_directory import RunDirectory

PRESETS = Path(__file__).parent.parent / "strategies"
LAST, EVALUATIONS = 10, 40
MOST_POINTS = 0.9


def settings(preset: str) -> dict[str, Any]:
    """Return what a preset sets, by key."""
    return flat(tomllib.loads((PRESETS / f"{preset}.toml").read_text()))


def with_a_step() -> list[str]:
    """Return the names of presets that set ``alpha`` for clients' updates."""
    found = [path.stem for path in sorted(PRESETS.glob("*.toml")) if "strategy.emam.alpha" in settings(path.stem)]
    return [name for name in found if name != "emam-paper"]  # the paper's own step, kept as it is


def swings(preset: str) -> dict[str, float]:
    """Return the standard deviation of each accuracy over the last evaluations [points]."""
    merges = settings(preset)["strategy.merges"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "eafl_flower.cli.main", "run", preset, "--baselines", "none", "--out", folder]
        command += ["--set", f"evaluate.every={merges // EVALUATIONS}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        (path,) = Path(folder).iterdir()
        scored = [event["metrics"] for event in RunDirectory.open(path).events() if event["event"] == "evaluate"]
    last = scored[-LAST:]
    if len(last) < LAST:
        sys.exit(f"{preset}: {len(last)} evaluations, expected {LAST} at least")
    names = [name for name in last[-1] if name.startswith("accuracy")]
    return {name: 100 * statistics.stdev(metrics[name] for metrics in last) for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default="", help="some of them, by comma")
    chosen = parser.parse_args().presets
    presets = chosen.split(",") if chosen else with_a_step()
    path = RESULTS / "swings.json"
    rows = json.loads(path.read_text()) if chosen and path.exists() else []
    rows = [kept for kept in rows if kept["name"].partition(",")[0] not in presets]
    for preset in presets:
        for name, points in swings(preset).items():
            against = {"peer": "most wanted", "peer_value": MOST_POINTS, "ratio": MOST_POINTS / max(points, 1e-9)}
            rows.append(row(f"{preset}, {name}", points, "points", **against, aim=1.0))
            print(f"{preset}, {name}: {points:.2f} points", flush=True)
    write_rows("swings", sorted(rows, key=lambda one: one["name"]))


if __name__ == "__main__":
    main()
