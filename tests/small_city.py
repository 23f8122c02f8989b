"""A small city: vehicles that change between three units of two tasks, each at its own pace."""

from dataclasses import replace

from ordered_app import factory_of
from roadside_paths import Timetable, adapters, to_and_fro
from toy_federation import Recorder, network

from eafl_flower.engines.inline import InlineGrid
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.strategies import UCBDual

TASKS = ("questions", "reviews")
ARMS = (1, 2, 4)
RANKS = UCBDualScheduler(arms=ARMS, share_statistics=True, metric="accuracy", lower_is_better=False)


def city(recorder=None, *, num_rounds=12, state_dir=None, grid=None, num_clients=4, **options):
    """Vehicles that change between three units of two tasks, each at its own pace, and leave now and then."""
    ways = tuple(
        to_and_fro((0, 1, 2, -1) if v % 2 else (1, 0, 2), every_s=3.0 + v, offset_s=0.5 * v) for v in range(num_clients)
    )
    recorder = recorder or Recorder()
    strategy = UCBDual(
        **{
            "tasks": TASKS,
            "coverage": Timetable(ways=ways, units_m=((0, 0), (1, 0), (2, 0))),
            "ranks": replace(RANKS, metric="made"),
            "energy_j": 1.2,
            "local_epochs": 3,
            "round_period_s": 3.5,
            "head": 1,
            "lora_alpha": 4.0,
            "observer": recorder,
            "seed": 3,
            "node_timeout_s": 60.0,
            **network(up=2e4, down=1e6, cycles=1e8),
            **options,
        }
    )
    models = {name: adapters(name) for name in TASKS}
    app = factory_of(models=TASKS, state_dir=state_dir)()
    strategy.start(grid or InlineGrid(app, num_clients), models, num_rounds=num_rounds)
    return strategy.run, recorder
