"""The directory of a run of UCB-DUAL in a small city of vehicles that drive to and fro between four units."""

import numpy as np
from small_city import RANKS, TASKS, city

from eafl_flower.config import RunConfig
from eafl_flower.mobility.coverage import HandoverRule, cover
from eafl_flower.mobility.traces import traces_of
from eafl_flower.results.run_directory import RunDirectory

UNITS_M = [[0.0, 0.0], [900.0, 0.0], [0.0, 900.0], [900.0, 900.0]]


def drives(vehicles, *, length_s=1500.0):
    """Return vehicles on loops around the middle of the units, each at its own pace."""
    time_s = np.arange(0.0, length_s, 1.0)
    ways = {}
    for vehicle in range(vehicles):
        angle = 2 * np.pi * (time_s / (60 + 9 * vehicle) + vehicle / vehicles)
        radius_m = 380 + 25 * vehicle
        ways[f"car {vehicle}"] = (time_s, 450 + radius_m * np.cos(angle), 450 + radius_m * np.sin(angle))
    rule = HandoverRule(radius_m=600, hysteresis_m=10, time_to_trigger_s=1, step_s=1)
    return cover(traces_of(ways), UNITS_M, rule)


def city_run(folder, *, vehicles=8, num_rounds=24):
    """Run it and return its directory, which has no summary: the strategy is a library's, not a preset's."""
    run = RunDirectory.create_at(folder)
    run.write_config(RunConfig.from_flat({"name": "city", "scheduler.name": "ucb-dual"}).to_toml())
    city(
        run.log,
        num_clients=vehicles,
        num_rounds=num_rounds,
        coverage=drives(vehicles),
        tasks=TASKS,
        ranks=RANKS,
        energy_j=0.7 * vehicles,
    )
    run.log.close()
    return run
