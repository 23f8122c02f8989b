"""Runs FedAvg or AsyncEMAM and writes what they took: time, CPU, whose code was at work, what was lost."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from eafl_flower.runs.limits import StopRule
from eafl_flower.strategies import AsyncEMAM
from wires_app.whose import Whose

app = ServerApp()


class Clock:
    """Looks at both clocks at each update that arrives."""

    def __init__(self) -> None:
        self.looks: list[tuple[int, float, float]] = []
        self.whose = Whose()

    def look(self, updates: int) -> None:
        if not self.looks:
            self.whose.start()
        self.looks.append((updates, time.perf_counter(), time.process_time()))

    def told(self) -> dict[str, Any]:
        self.whose.stop()
        (first, began_s, began_cpu_s), (last, ended_s, ended_cpu_s) = self.looks[0], self.looks[-1]
        took = {"updates": last - first, "wall_s": ended_s - began_s, "cpu_s": ended_cpu_s - began_cpu_s}
        return took | {"whose": dict(self.whose.samples), "where": dict(self.whose.where.most_common(25))}


@app.main()
def main(grid: Grid, context: Context) -> None:
    config: dict[str, Any] = dict(context.run_config)
    if config["task"] == "lora":
        from wires_app.adapters import RANK, learner

        initial = ArrayRecord(list(learner().init(np.random.default_rng(1), RANK)))
    else:
        initial = ArrayRecord([np.zeros(config["floats"], np.float32)])
    clock, nodes, updates = Clock(), config["nodes"], config["updates"]
    beside: dict[str, Any] = {}
    if config["strategy"] == "fedavg":
        cohort = config["concurrency"] or nodes
        fedavg = FedAvg(
            fraction_train=cohort / nodes, fraction_evaluate=0.0, min_train_nodes=cohort, min_available_nodes=nodes
        )

        def look(server_round: int, arrays: ArrayRecord) -> MetricRecord:
            if server_round:
                clock.look(server_round * cohort)
            return MetricRecord()

        fedavg.start(grid, initial, num_rounds=max(2, updates // cohort), evaluate_fn=look)
    else:
        merged: Counter[int] = Counter()

        def note(number: int, event: Any) -> None:
            merged[event["client"]] += 1
            clock.look(number)

        ours = AsyncEMAM(
            unit="merges",
            min_available_nodes=nodes,
            concurrency=config["concurrency"],
            fraction_evaluate=0.0,
            on_merge=note,
            stop=StopRule(time_s=60 * config["minutes"]),
        )
        ours.start(grid, initial, num_rounds=updates)
        assert ours.run is not None
        tally = ours.run.tally
        beside = {"lost": tally.lost, "refused": tally.refused, "errors": tally.errors, "clients": len(merged)}
    out = Path(config["out"])
    out.with_suffix(".new").write_text(json.dumps(clock.told() | beside))
    out.with_suffix(".new").rename(out)  # whoever waits for it finds all of it
