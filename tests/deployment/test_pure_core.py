"""The whole machinery against one loop: messages, mods, streams and clocks add nothing to the arithmetic."""

import pytest
from pure_core import replay

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.engines import InlineGrid
from eafl_flower.types import digest

SETTINGS = {
    **{
        "data.clients": 7,
        "data.unseen": 2,
        "data.idm.rows-per-client": 32,
        "task.tabular.hidden": "8,8",
        "strategy.merges": 60,
    },
    **{"strategy.concurrency": 3, "clients.slowdown": "1,2,4", "results.baselines": "none"},
}


class Merges:
    def __init__(self):
        self.events = []

    def write(self, event):
        if event["event"] == "merge":
            self.events.append(dict(event))

    def close(self):
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {"codec.name": "int8"},
        {"codec.name": "lqgcm"},
        {
            "codec.name": "lqgcm",
            "codec.lqgcm.prediction": False,
            "codec.lqgcm.tuples": 3,
            "codec.lqgcm.downlink-tuples": 2,
        },
        {"codec.name": "lqgcm-published"},
        {"codec.name": "laq"},
        {"codec.name": "aquila", "codec.aquila.target": "update"},
        {"codec.name": "lqgcm", "task.name": "fractal", "task.fractal.head": "both", "strategy.merges": 30},
    ],
    ids=str,
)
def test_a_simulated_run_is_the_plain_loop_over_its_merges(changes):
    settings = {key: value for key, value in SETTINGS.items() if "task.name" not in changes or key[:5] != "task."}
    config = RunConfig.from_flat({**settings, **changes})
    merges = Merges()
    grid = InlineGrid(client_app(resolve(config)), resolve(config).source.num_clients)
    run = train(resolve(config), grid, observer=merges)
    replayed = replay(config, merges.events, in_flight=3, clients=5)
    assert [event["metrics"]["loss"] for event in merges.events] == replayed.losses
    assert [event["uplink_bytes"] for event in merges.events] == replayed.uplink_bytes
    assert digest(replayed.arrays) == run.arrays_sha256()
