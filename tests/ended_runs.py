"""A run that tests end before its end, and what can be seen of it from outside."""

import json
import time

MERGES = 160
SETTINGS = {
    **{"name": "killed", "data.clients": 8, "data.unseen": 2, "data.idm.rows-per-client": 32},
    **{"strategy.merges": MERGES, "strategy.concurrency": 4, "clients.slowdown": "1,2,4", "evaluate.every": 40},
    **{"churn.on-job-times": 8.0, "churn.off-job-times": 3.0, "checkpoint.every": 10, "results.baselines": "none"},
}
SMALL = {"task.tabular.hidden": "8,8"}


def merges_in(folder):
    path = folder / "events.jsonl"
    return path.read_bytes().count(b'"event":"merge"') if path.exists() else 0


def events_of(folder):
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if not k.endswith("wall_s")} for e in lines]


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def wait_until(condition, is_alive):
    while is_alive() and not condition():
        time.sleep(0.0005)
