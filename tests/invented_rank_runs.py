"""Recordings by rule, a store that has one for every cell that is asked for, and a small city to draw."""

import numpy as np

from eafl_flower.mobility.coverage import HandoverRule, cover
from eafl_flower.mobility.traces import traces_of
from experiments.cells import Store
from experiments.ucb_dual.measures import Recording
from experiments.ucb_dual.record import scenario_of
from experiments.ucb_dual.settings import ARMS


def invented(settings, *, jobs_a_round=None, accuracy=None, latency_s=None):
    """Return what ``recorded`` would, of settings of a cell: larger ranks learn more and take longer."""
    scenario = scenario_of(settings)
    rng = np.random.default_rng([scenario.seed, *scenario.method.encode()])
    tasks, rounds = len(scenario.tasks), scenario.rounds
    vehicles = scenario.vehicles or 60
    jobs, counts, latencies = [], np.zeros((rounds, tasks)), np.zeros((rounds, tasks))
    for number in range(rounds):
        for vehicle in rng.permutation(vehicles)[: jobs_a_round or vehicles - 1]:
            unit = int(rng.integers(scenario.columns**2)) + 1
            task = (unit - 1) // scenario.columns % tasks
            rank = scenario.rank or int(ARMS[rng.integers(len(ARMS))])
            leaving = ["", "", "", "early", "migrate", "abandon"][rng.integers(6)]
            event = "lost" if leaving == "abandon" or rng.random() < 0.1 else "merge"
            time_s = 5 + rank / 8
            jobs.append([60.0 * number + time_s, int(vehicle), unit, rank, event, leaving])
            counts[number, task] += 1
            if event == "merge":
                latencies[number, task] = max(latencies[number, task], latency_s or time_s)
    budget_j = 100.0 * scenario.budget * vehicles
    used_j = counts * 100.0 * rng.uniform(0.7, 1.3, counts.shape)
    evaluated = [*range(0, rounds, scenario.evaluate_every), rounds]
    scores = []
    for number in evaluated:
        value = accuracy or 0.8 - 0.5 * np.exp(-number / 8) + 0.3 * scenario.rate
        scores.append(
            {"round": number} | {t: {"test": value, "validation": value, "loss": 1.0} for t in scenario.tasks}
        )
    merged = sum(job[4] == "merge" for job in jobs)
    return {
        "budget_j": budget_j,
        "rounds": {
            "budget_j": np.full((rounds, tasks), budget_j / tasks).tolist(),
            "used_j": used_j.tolist(),
            "price": np.maximum(0, rng.normal(0.05, 0.1, (rounds, tasks))).tolist(),
            "jobs": counts.tolist(),
            "score": np.full((rounds, tasks), -1.0).tolist(),
            "latency_s": latencies.tolist(),
        },
        "jobs": jobs,
        "energy_j": float(used_j.sum()),
        "upload_bytes": 300_000 * merged,
        "span_j": [70.0 * vehicles, 130.0 * vehicles],
        "covered": [vehicles] * rounds,
        "handovers": [rounds // 10] * vehicles,
        "scores": scores,
        "vehicles": vehicles,
        "units": scenario.columns**2,
        "seconds": 60.0,
        "peak_bytes": 5e8,
        "training_bytes": 5e7,
    }


def recording(settings, **changed):
    """Return an invented recording."""
    return Recording(invented(settings, **changed))


class InventedStore(Store):
    """Has a result for every cell, and remembers those that were asked to be run."""

    def __init__(self, path):
        super().__init__(path)
        self.asked = []

    def run(self, cells, *, jobs):
        self.asked += list(cells)

    def __getitem__(self, cell):
        if cell.key not in self.results:
            self.results[cell.key] = invented(dict(cell.config))
        return self.results[cell.key]


def store(folder):
    """Return a store whose every result is invented."""
    return InventedStore(folder / "cells.jsonl")


def crossing():
    """Return four vehicles that drive to and fro between two units, 3 km in five minutes, each two minutes later."""
    time_s = np.arange(0.0, 3601.0, 60.0)
    ways = {}
    for vehicle in range(4):
        place = (time_s / 300 + 0.4 * vehicle) % 2
        ways[f"cab {vehicle}"] = (time_s, 3000 * np.minimum(place, 2 - place), np.full(len(time_s), 100.0 * vehicle))
    return cover(traces_of(ways), [[0.0, 0.0], [3000.0, 0.0]], HandoverRule(radius_m=1600, hysteresis_m=25))
