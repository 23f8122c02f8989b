"""Merges and bytes a second over real wires: a SuperLink with TLS, and four kinds of nodes.

``python wires.py`` starts a SuperLink on loopback and, one after the other, three of Flower's SuperNodes with default
settings, three with the shortest pauses that can be set, three ``eafl node``, and 50 light nodes in one process. They
move arrays of 1 KB, 1 MB and 50 MB there and back under ``AsyncEMAM`` and under Flower's own ``FedAvg``, train the
tabular task of this package, and fine-tune a transformer by LoRA. ``--soak MINUTES`` watches memory and descriptors of
all processes while 20 light nodes work.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report import row, write_rows
from wires_setup import POLL, Federation, descendants, job, start_light, started, submit, wait
from wires_soak import soak

TICKS = os.sysconf("SC_CLK_TCK")
KB, MB = 256, 262_144  # floats
KINDS = {"stock": 3, "tuned": 3, "kept": 3, "light": 50}
TITLES = {
    "stock": "3 SuperNodes",
    "tuned": "3 SuperNodes, polling every 0.01 s",
    "kept": "3 eafl nodes",
    "light": "50 light nodes in one process",
}
# Updates of one job by kind and size: as many as take some seconds on a machine with nothing else to do.
UPDATES = {
    "stock": {KB: 9, MB: 6, 50 * MB: 6},
    "tuned": {KB: 9},
    "kept": {KB: 60, MB: 30, 50 * MB: 9},
    "light": {KB: 150, MB: 100, 50 * MB: 12},
}
MOST_AT_ONCE = {50 * MB: 4}  # of the 50: else all their models lie in the SuperLink's memory at once
TABULAR = {"stock": 9, "tuned": 9, "kept": 45}
LORA = {"stock": 6, "kept": 18}

TABULAR_JOB = """
name = "tabular"

[data]
clients = 3
unseen = 0

[strategy]
merges = {merges}

[results]
dir = "{results}"
baselines = "none"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of the four kinds of nodes")
    parser.add_argument("--small", action="store_true", help="payloads of 1 KB only")
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES", help="at most 60; only this")
    parser.add_argument("--poll-s", type=float, default=1.0, help="pause of light nodes in the soak [s]")
    arguments = parser.parse_args()
    if arguments.soak and not 1 <= arguments.soak <= 60:
        parser.error("--soak: expected 1 to 60 minutes")
    with tempfile.TemporaryDirectory(prefix="wires-") as folder:
        if arguments.soak:
            write_rows("wires_soak", soak(Path(folder), arguments.soak, arguments.poll_s))
        else:
            measure(Path(folder), arguments.kinds.split(","), small=arguments.small)


def measure(folder: Path, kinds: list[str], *, small: bool) -> None:
    """Measure all kinds on one SuperLink and write the rows after each, so that what is there can be read."""
    rows = [row("load average at the start", os.getloadavg()[0], f"of {os.cpu_count()} cores")]
    rates: dict[tuple[str, Any], float] = {}
    with started(folder) as federation:
        for kind in kinds:
            with nodes(federation, kind):
                for floats, updates in UPDATES[kind].items():
                    if floats == KB or not small:
                        rows += arrays_rows(federation, kind, floats, updates, rates)
                if kind in TABULAR:
                    rows += tabular_rows(federation, kind, rates)
                if kind in LORA and not small:
                    rows += lora_rows(federation, kind, rates)
            rows.append(row("load average", os.getloadavg()[0], f"of {os.cpu_count()} cores, after {TITLES[kind]}"))
            write_rows("wires", rows)


def arrays_rows(
    federation: Federation, kind: str, floats: int, updates: int, rates: dict[tuple[str, Any], float]
) -> list[dict[str, Any]]:
    """Return rows of both strategies with payloads of this size."""
    title, size = TITLES[kind], {KB: "1 KB", MB: "1 MB", 50 * MB: "50 MB"}[floats]
    rows, took = [], {}
    for strategy in ("fedavg", "ours"):
        settings = {"strategy": strategy, "floats": floats, "updates": updates, "nodes": KINDS[kind]}
        if KINDS[kind] > MOST_AT_ONCE.get(floats, KINDS[kind]):
            settings["concurrency"] = MOST_AT_ONCE[floats]
        before = cpu_s(federation)
        took[strategy] = job(federation, settings)
        spent = {name: after - before[name] for name, after in cpu_s(federation).items() if name in before}
        took[strategy]["nodes_cpu_s"] = sum(v for name, v in spent.items() if name != "superlink")
        took[strategy]["superlink_cpu_s"] = spent["superlink"]
    fedavg, ours = took["fedavg"], took["ours"]
    rate, peer = (t["updates"] / t["wall_s"] for t in (ours, fedavg))
    rates[kind, floats] = rate
    byte_rates = [2 * 4e-6 * floats * value for value in (rate, peer)]
    cpu_ms, peer_cpu_ms = (1e3 * t["cpu_s"] / t["updates"] for t in (ours, fedavg))
    beside = {"peer": "Flower's FedAvg", "cores": os.cpu_count() or 1}
    rows.append(row(f"{title}, {size}", rate, "merges/s", peer_value=peer, ratio=rate / peer, **beside))
    rows.append(row(f"{title}, {size}", byte_rates[0], "MB/s, both ways", peer_value=byte_rates[1], **beside))
    rows.append(row(f"{title}, {size}, ServerApp", cpu_ms, "CPU ms/merge", peer_value=peer_cpu_ms, **beside))
    for whom in ("nodes", "superlink"):
        one, other = (1e3 * t[f"{whom}_cpu_s"] / t["updates"] for t in (ours, fedavg))
        rows.append(row(f"{title}, {size}, {whom}", one, "CPU ms/merge", peer_value=other, **beside))
    seen = sum(ours["whose"].values())
    if seen >= 50:
        share = ours["whose"].get("eafl_flower", 0) / seen
        aim = {"aim": 1.0, "ratio": 0.2 / max(share, 1e-9)} if floats == KB else {}
        name, unit = f"{title}, {size}, our code", f"of the ServerApp's CPU ({seen} samples)"
        rows.append(row(name, share, unit, peer="at most", peer_value=0.2, **aim))
        print(f"{name}: {share:.1%} of {seen} samples; most: {list(ours['where'].items())[:8]}", flush=True)
    if ours["lost"] or ours["refused"] or ours["errors"]:
        raise RuntimeError(f"{title}, {size}: {ours}")
    return rows


def tabular_rows(federation: Federation, kind: str, rates: dict[tuple[str, Any], float]) -> list[dict[str, Any]]:
    """Return the merges a second of this package's own app."""
    results = federation.folder / f"tabular-{kind}"
    path = results.with_suffix(".toml")
    path.write_text(TABULAR_JOB.format(merges=TABULAR[kind], results=results))
    submit(federation, federation.folder / "eafl-flower", path)
    wait(federation, lambda: list(results.glob("*/summary.json")))
    (log,) = results.glob("*/events.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    times = [event["wall_s"] for event in events if event["event"] == "merge"]
    rate = (len(times) - 1) / (times[-1] - times[0])
    rates[kind, "tabular"] = rate
    return [row(f"{TITLES[kind]}, tabular task", rate, "merges/s", **against(rates, kind, "tabular", aim=10.0))]


def lora_rows(federation: Federation, kind: str, rates: dict[tuple[str, Any], float]) -> list[dict[str, Any]]:
    """Return the merges a second of a transformer that is fine-tuned, and how often nodes loaded it."""
    before = loads(federation, kind)
    took = job(federation, {"task": "lora", "updates": LORA[kind], "nodes": KINDS[kind]})
    rate, title = took["updates"] / took["wall_s"], f"{TITLES[kind]}, LoRA"
    rates[kind, "lora"] = rate
    loaded = loads(federation, kind) - before
    if kind == "kept" and loaded != KINDS[kind]:
        raise RuntimeError(f"{KINDS[kind]} nodes have loaded the transformer {loaded} times")
    return [
        row(title, rate, "merges/s", **against(rates, kind, "lora")),
        row(title, loaded, f"times the transformer was loaded for {LORA[kind]} merges by {KINDS[kind]} nodes"),
    ]


def loads(federation: Federation, kind: str) -> int:
    return sum(federation.log(f"{kind}-{n}").count("the transformer is loaded") for n in range(KINDS[kind]))


def against(rates: dict[tuple[str, Any], float], kind: str, what: str, aim: float | None = None) -> dict[str, Any]:
    """Compare with SuperNodes at their default settings, where these were measured."""
    if kind == "stock" or ("stock", what) not in rates:
        return {}
    peer = rates["stock", what]
    return {
        "peer": TITLES["stock"],
        "peer_value": peer,
        "ratio": rates[kind, what] / peer,
        "aim": aim if kind == "kept" else None,
    }


@contextmanager
def nodes(federation: Federation, kind: str) -> Iterator[None]:
    """Run nodes of one kind."""
    names = [f"{kind}-{n}" for n in range(KINDS[kind] if kind != "light" else 1)]
    if kind == "tuned":
        federation.env[POLL] = "0.01"
    for place, name in enumerate(names):
        config = {"partition-id": place, "num-partitions": KINDS[kind]}
        if kind == "light":
            start_light(federation, KINDS[kind], poll_s=0.1)
        elif kind == "kept":
            federation.start_kept_node(name, None, config)
        else:
            federation.start_node(name, None, config)
    federation.env.pop(POLL, None)
    yield
    federation.stop(*names)


def cpu_s(federation: Federation) -> dict[str, float]:
    """Return the CPU time of the SuperLink alone, and of each node with all that it has started and awaited [s]."""
    return {
        name: sum(_cpu_s(pid) for pid in (process.pid, *({} if name == "superlink" else descendants(process.pid))))
        for name, process in federation.processes.items()
    }


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS


if __name__ == "__main__":
    main()
