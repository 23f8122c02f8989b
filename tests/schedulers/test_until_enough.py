import json
import math

import pytest

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import NO_ORDER, Enough, Order
from eafl_flower.core.state import flatten, restore
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import ConfigError
from eafl_flower.schedulers.until_enough import UntilEnough
from eafl_flower.types import Phase

TINY = {"data.clients": 4, "data.unseen": 0, "data.idm.rows-per-client": 32, "strategy.merges": 12}


def test_every_client_gets_the_rule_of_the_settings():
    scheduler = UntilEnough(share=0.1, least=2, most=5)
    assert scheduler.offer(scheduler.init(3), 1, forecast()) == Order(stop=Enough(share=0.1, least=2, most=5))


def forecast(epoch_s=1.0, epoch_j=1.0):
    epoch = Phase(time_s=epoch_s, energy_j=epoch_j)
    return Forecast(time_s=0.0, ends_s=math.inf, num_examples=5, epoch=epoch, jobs=0, server_round=1)


def after_upload(scheduler, client, time_s, energy_j, state=None):
    upload = Phase(time_s=time_s, energy_j=energy_j)
    outcome = Outcome(client=client, order=NO_ORDER, kind="merged", began_s=0.0, time_s=9.0, upload=upload)
    return scheduler.learn(scheduler.init(3) if state is None else state, outcome)


@pytest.mark.parametrize(
    ("budget", "epoch", "upload", "most"),
    [
        ({"round_time_s": 5.0}, (1.0, 1.0), (0.0, 0.0), 5),
        ({"round_time_s": 5.0}, (1.0, 1.0), (1.5, 0.0), 3),
        ({"round_time_s": 0.3}, (0.1, 1.0), (0.0, 0.0), 3),  # 0.3 / 0.1 is below 3 in floating point
        ({"round_energy_j": 4.0}, (1.0, 0.5), (0.0, 1.2), 5),
        ({"round_time_s": 5.0, "round_energy_j": 2.0}, (1.0, 1.0), (0.0, 0.0), 2),
        ({"round_time_s": 5.0, "round_energy_j": 9.0}, (1.0, 1.0), (0.0, 0.0), 5),
        ({"round_time_s": 1e9}, (1.0, 1.0), (0.0, 0.0), 8),  # its own most
        ({"round_time_s": 1.0}, (1.0, 1.0), (5.0, 0.0), 2),  # its own least, though the upload alone takes longer
        ({"round_time_s": 1.0}, (0.0, 0.0), (0.5, 0.0), 8),  # what costs nothing fits in for ever
        ({"round_time_s": 1.0}, (1e-320, 0.0), (0.5, 0.0), 8),
        ({}, (1e9, 1e9), (1e9, 1e9), 8),
    ],
)
def test_a_round_has_room_for_so_many_epochs_beside_an_upload_like_the_last(budget, epoch, upload, most):
    scheduler = UntilEnough(least=2, most=8, **budget)
    state = after_upload(scheduler, 1, *upload)
    assert scheduler.offer(state, 1, forecast(*epoch)).stop == Enough(share=0.01, least=2, most=most)


def test_each_client_has_an_upload_of_its_own_and_only_whole_ones_count():
    scheduler = UntilEnough(round_time_s=10.0)
    state = after_upload(scheduler, 7, 4.0, 0.0)  # more clients than there were at the start
    state = after_upload(scheduler, 2, 8.0, 0.0, state)
    cut_short = Outcome(
        client=2, order=NO_ORDER, kind="lost", began_s=0.0, time_s=1.0, upload=Phase(time_s=1.0, energy_j=0.0)
    )
    before, state = state, scheduler.learn(state, cut_short)
    assert state is before
    assert [scheduler.offer(state, k, forecast()).stop.most for k in (0, 2, 7, 100)] == [10, 2, 6, 10]
    state = after_upload(scheduler, 2, 1.0, 0.0, state)
    assert [scheduler.offer(s, 2, forecast()).stop.most for s in (before, state)] == [2, 9]


def test_a_stored_state_is_that_state():
    scheduler = UntilEnough(round_energy_j=10.0)
    state = after_upload(scheduler, 1, 4.0, 3.0)
    arrays, tree = flatten(state)
    again = restore(scheduler.init(3), arrays, json.loads(json.dumps(tree)))
    assert [scheduler.offer(s, 1, forecast()).stop.most for s in (state, again)] == [7, 7]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"least": 3, "most": 2}, {"share": -0.1}, {"most": 0}, {"share": float("nan")}),
        *({"round_time_s": -1.0}, {"round_energy_j": math.inf}),
    ],
)
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        UntilEnough(**wrong)


def test_a_preset_names_it_and_clients_stop_by_themselves():
    config = RunConfig().replace(
        {
            **TINY,
            "scheduler.name": "until-enough",
            "scheduler.until-enough.share": 0.05,
            "scheduler.until-enough.most": 6,
        }
    )
    epochs = []

    class Seen:
        def write(self, event):
            if event["event"] == "merge":
                assert event["epochs"] == event["metrics"]["epochs"]
                epochs.append(event["epochs"])

        def close(self):
            pass

    experiment = resolve(config)
    train(experiment, InlineGrid(client_app(experiment), 4), observer=Seen())
    assert len(epochs) == 12
    assert all(1 <= count <= 6 for count in epochs)
    assert len(set(epochs)) > 1  # who learns no more stops earlier
