"""An hour with 20 light nodes: what memory and descriptors do, and whether an update is lost."""

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from report import row
from wires_setup import start_light, started, submit

PAGE = os.sysconf("SC_PAGE_SIZE")
LIGHT = 20
Look = dict[str, tuple[float, int]]  # of each process: resident memory [MiB], open descriptors


def soak(folder: Path, minutes: float, poll_s: float) -> list[dict[str, Any]]:
    """Let 20 light nodes work and look at every process once a minute.

    On a machine with far too much to do the ServerApp's heartbeats may come too late: then Flower ends the run, and
    the rows say after how many minutes; what was merged is not known then.
    """
    looks: list[Look] = []
    loads = [os.getloadavg()[0]]
    with started(folder) as federation:
        start_light(federation, LIGHT, poll_s=poll_s)
        out = federation.folder / "out.json"
        path = federation.folder / "wires.toml"
        path.write_text(f'updates = 1000000\nnodes = {LIGHT}\nminutes = {minutes}\nout = "{out}"\n')
        submit(federation, federation.folder / "wires-app", path)
        watched = {
            "SuperLink": federation.processes["superlink"].pid,
            "ServerApp": federation.server_apps()[0],
            "nodes": federation.processes["light-0"].pid,
        }
        deadline = time.monotonic() + 60 * minutes + 300
        while not out.exists() and federation.server_apps() and time.monotonic() < deadline:
            until = time.monotonic() + 60
            while time.monotonic() < until and not out.exists() and federation.server_apps():
                time.sleep(0.5)
            if not out.exists() and federation.server_apps():
                looks.append({name: memory_and_descriptors(pid) for name, pid in watched.items()})
                told = ", ".join(f"{name} {mib:.1f} MiB {fds}" for name, (mib, fds) in looks[-1].items())
                print(f"minute {len(looks)}: {told}", flush=True)
        took = json.loads(out.read_text()) if out.exists() else None
        federation.stop("light-0")
        answered, _, errors, *_ = federation.log("light-0").splitlines()[-1].replace(",", " ").split()
    loads.append(os.getloadavg()[0])
    trained = int(answered) - int(errors)  # an app without a query function answers "who are you?" by an error
    rows = [row("soak", minutes, f"minutes, {LIGHT} light nodes in one process that ask every {poll_s:g} s")]
    if took is None:
        rows.append(row("ended by Flower after", len(looks), "minutes"))
    else:
        rows += merged_rows(took, trained)
    return rows + growth_rows(looks, loads)


def merged_rows(took: dict[str, Any], trained: int) -> list[dict[str, Any]]:
    """Return what became of the updates."""
    merges = took["updates"] + 1
    return [
        row("merges", merges, "in all", cores=os.cpu_count() or 1),
        row("merges", took["updates"] / took["wall_s"], "merges/s", cores=os.cpu_count() or 1),
        row("trained and not merged", trained - merges, f"updates; {LIGHT} jobs are open at the end"),
        row("lost, refused, failed", took["lost"] + took["refused"] + took["errors"], "updates"),
        row("nodes that took part", took["clients"], f"of {LIGHT}"),
    ]


def growth_rows(looks: list[Look], loads: list[float]) -> list[dict[str, Any]]:
    """Return how much memory and how many descriptors grow in an hour, by a line through all but the first sixth."""
    rows = []
    settled = looks[len(looks) // 6 :]
    for name in ("ServerApp", "nodes", "SuperLink") if settled else ():
        for place, what in enumerate(("MiB", "descriptors")):
            values = [look[name][place] for look in settled]
            text = f"{what}, from {values[0]:.1f} to {values[-1]:.1f} in {len(values)} looks a minute apart"
            rows.append(row(f"{name}, growth an hour", 60 * slope(values), text))
    for when, load in zip(("start", "end"), loads, strict=True):
        rows.append(row(f"load average at the {when}", load, f"of {os.cpu_count()} cores"))
    return rows


def memory_and_descriptors(pid: int) -> tuple[float, int]:
    """Return resident memory [MiB] and open descriptors of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * PAGE / 2**20, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def slope(values: list[float]) -> float:
    """Return the growth from one value to the next, by a line through all of them."""
    return statistics.linear_regression(range(len(values)), values).slope if len(values) > 1 else 0.0
