"""The main job beside synchronous FedAvg, in time and energy, and as README's picture.

    python benchmarks/main_job.py [--seeds 1,2,3]

Runs the presets ``radio-map`` and ``radio-map-fedavg``, tuned rounds of ten vehicles: same town, vehicles, network,
codec and number of updates. Prints the virtual time and energy to 80 % on rows that seen vehicles hold out, the first
evaluation that reaches it, and draws docs/figures/main-job.svg of seed 1.
"""

import argparse
import io
import logging
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from report import row, write_rows

from eafl_flower.app.experiment import run_config
from eafl_flower.config import RunConfig
from eafl_flower.data import Drives
from eafl_flower.results.curves import curves

TARGET = 0.8
RUNS = {  # preset, and merges between two evaluations
    "asynchronous, eafl-flower": ("radio-map", 30),
    "synchronous FedAvg, tuned": ("radio-map-fedavg", 3),
}
SCORE = "accuracy-before"
COLORS = ("#0d8a7d", "#c2571a")  # both at least 4 : 1 on white and on black
GREY, DRIVE = "#80868b", "#5f6772"
PICTURE = Path(__file__).parent.parent / "docs" / "figures" / "main-job.svg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1", help="one or several, by comma")
    logging.getLogger("flwr").setLevel(logging.ERROR)
    rows = []
    ours, theirs = RUNS
    for seed in map(int, parser.parse_args().seeds.split(",")):
        found = {name: _curves(preset, every, seed) for name, (preset, every) in RUNS.items()}
        reached = {name: table[table[SCORE] >= TARGET].iloc[0] for name, table in found.items()}
        for column, unit in (("time_s", "s of virtual time"), ("energy_j", "J")):
            against = {"peer": theirs, "peer_value": float(reached[theirs][column])}
            against["ratio"] = against["peer_value"] / float(reached[ours][column])
            name = f"main job to {TARGET:.0%}, seed {seed}, {ours}"
            rows.append(row(name, float(reached[ours][column]), unit, **against))
        if seed == 1:
            PICTURE.write_text(picture(found, reached))
            print(f"written: {PICTURE}")
    write_rows("main_job", rows)


def _curves(preset: str, every: int, seed: int) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        changes = {"seed": seed, "evaluate.every": every, "results.baselines": "none", "results.dir": folder}
        return curves(run_config(RunConfig.from_toml(preset).replace(changes)))


def picture(found: dict[str, Any], reached: dict[str, Any]) -> str:
    """Return README's picture: the town with its vehicles, and accuracy against time and energy, and the bytes."""
    with mpl.rc_context({"font.size": 11, "svg.hashsalt": "main-job", "text.color": GREY, "axes.labelcolor": GREY}):
        figure = Figure(figsize=(11, 3.9), layout="constrained")
        town, time, energy = figure.subplots(1, 3, width_ratios=(1.0, 1.35, 1.0))
        _town(town)
        for color, where, (name, table) in zip(COLORS, ((-4, 26), (10, -24)), found.items(), strict=True):
            first = reached[name]
            for axes, column in ((time, "time_s"), (energy, "energy_j")):
                axes.plot(table[column], 100 * table[SCORE], color=color, lw=2, label=name)
                axes.plot(first[column], 100 * first[SCORE], "o", color=color, ms=7)
            label = f"80 % after {first['time_s']:.1f} s"
            time.annotate(label, (first["time_s"], 100 * first[SCORE]), where, textcoords="offset points", color=color)
            cost = f"80 % for {first['energy_j']:.2f} J, {first['uplink_bytes'] / 1e6:.2f} MB up"
            energy.text(
                1, 0.13 if color == COLORS[0] else 0.05, cost, color=color, ha="right", transform=energy.transAxes
            )
        time.set(xlabel="virtual time [s]", ylabel="accuracy [%]", title="Nobody waits for stragglers", ylim=(0, 100))
        energy.set(xlabel="energy of all vehicles [J]", title="... for about the same energy", ylim=(0, 100))
        time.legend(loc="lower right", frameon=False, labelcolor="linecolor")
        for axes in (town, time, energy):
            axes.set_facecolor("none")
            axes.title.set_color(GREY)
            axes.tick_params(colors=GREY)
            for side, spine in axes.spines.items():
                spine.set_visible(side in ("left", "bottom") and axes is not town)
                spine.set_color(GREY)
        figure.patch.set_alpha(0)
        made = io.StringIO()
        figure.savefig(made, format="svg", metadata={"Date": None})
        return made.getvalue()


def _town(axes: Any) -> None:
    drives = Drives()
    places_m, seed = drives.places_m(60, seed=1), 1
    units_m = drives.town.units_m(seed)
    side_m = drives.town.streets.side_m
    step = np.linspace(0, side_m, 120)
    grid = np.stack(np.meshgrid(step, step), axis=-1).reshape(-1, 2)
    best = drives.town.best_unit(grid, units_m, seed).reshape(120, 120)
    axes.imshow(best, origin="lower", extent=(0, side_m, 0, side_m), cmap="tab20", alpha=0.35, interpolation="nearest")
    for vehicle in (3, 17, 29):
        axes.plot(*places_m[vehicle].T, color=DRIVE, lw=1.5)
    axes.plot(*places_m[:, 0].T, ".", color=DRIVE, ms=5)
    axes.plot(*units_m.T, "^", color=COLORS[0], ms=9, mec="white")
    axes.set(xticks=[], yticks=[], title="Which unit is best where?")
    axes.set_xlabel("60 vehicles, three of their drives, 16 units", fontsize=10)


if __name__ == "__main__":
    main()
