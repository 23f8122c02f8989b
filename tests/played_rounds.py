"""Rounds of a ``RoadsideScheduler`` without a run: what it is told of clients and of their jobs."""

import numpy as np
from small_city import TASKS

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.types import Phase


def forecast(client=0, time_s=0.0, **known):
    epoch = Phase(time_s=1.0, energy_j=0.5)
    usual = {"ends_s": np.inf, "num_examples": 10, "epoch": epoch, "jobs": 0, "server_round": 1}
    return Forecast(time_s=time_s, **{**usual, **known})


def merged(client, order, server_round, *, energy_j, score=0.5, began_s=0.0, time_s=3.0):
    return Outcome(
        client=client,
        order=order,
        kind="merged",
        began_s=began_s,
        time_s=time_s,
        server_round=server_round,
        energy_j=energy_j,
        upload=Phase(time_s=1.0, energy_j=0.25 * energy_j),
        num_examples=10.0,
        metrics={"accuracy": score},
    )


def played(scheduler, rounds, energy_of, clients=4, score_of=lambda task, number: 0.5):
    """Play rounds in which every client gets a job; energy by (task, rank)."""
    state = scheduler.init(clients)
    for number in range(1, rounds + 1):
        orders = {}
        for client in range(clients):
            orders[client] = order = scheduler.offer(state, client, forecast(client, server_round=number))
            state = scheduler.learn(
                state, Outcome(client=client, order=order, kind="begun", began_s=0.0, time_s=0.0, server_round=number)
            )
        for client, order in orders.items():
            task = TASKS.index(order.model)
            outcome = merged(client, order, number, energy_j=energy_of(task, order.rank), score=score_of(task, number))
            state = scheduler.learn(state, outcome)
    return scheduler.closed(state)
