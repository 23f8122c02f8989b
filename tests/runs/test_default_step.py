"""``AsyncEMAM()`` in place of ``FedAvg()``: the same work, no divergence, whoever has waited longest works next."""

import doctest
import itertools
import logging
from collections import Counter

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from sklearn.datasets import load_digits
from toy_federation import run_toy

from eafl_flower.aggregation import fleet
from eafl_flower.aggregation.emam import EMAMAggregator
from eafl_flower.aggregation.newest import NewestMean
from eafl_flower.aggregation.staleness import Constant
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError
from eafl_flower.runs.explosion import OVER, Explosion
from eafl_flower.strategies import EMAM, AsyncEMAM

CLIENTS, ROUNDS = 10, 12


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return (x[order] / 16).astype(np.float32), y[order]


def softmax_app(digits, steps=20, rate=0.5):
    """Softmax regression by full-batch steps, as many a client's own loop has it."""
    x, y = (part[:1400] for part in digits)
    app = ClientApp()

    @app.train()
    def train(message, context):
        w, b = (a.copy() for a in message.content["arrays"].to_numpy_ndarrays())
        mine = slice(context.node_config["partition-id"], None, CLIENTS)
        rows, truth = x[mine], np.eye(10, dtype=np.float32)[y[mine]]
        for _ in range(steps):
            z = rows @ w + b
            q = np.exp(z - z.max(1, keepdims=True))
            g = (q / q.sum(1, keepdims=True) - truth) / len(rows)
            w -= rate * rows.T @ g
            b -= rate * g.sum(0)
        metrics = MetricRecord({"num-examples": len(rows)})
        return Message(RecordDict({"arrays": ArrayRecord([w, b]), "metrics": metrics}), reply_to=message)

    return app


def accuracies(strategy, digits, rate=0.5):
    x, y = (part[1400:] for part in digits)
    found = []

    def evaluate(number, arrays):
        w, b = arrays.to_numpy_ndarrays()
        found.append(float(((x @ w + b).argmax(1) == y).mean()))

    start = ArrayRecord([np.zeros((64, 10), np.float32), np.zeros(10, np.float32)])
    strategy.start(InlineGrid(softmax_app(digits, rate=rate), CLIENTS), start, num_rounds=ROUNDS, evaluate_fn=evaluate)
    return found[1:]


def test_in_place_of_fedavg_it_learns_as_well_and_never_falls(digits):
    fedavg = accuracies(FedAvg(fraction_evaluate=0.0), digits)
    ours = accuracies(AsyncEMAM(evaluate_clients=False), digits)
    assert len(ours) == len(fedavg) == ROUNDS
    assert min(o - f for o, f in zip(ours[ROUNDS // 2 :], fedavg[ROUNDS // 2 :], strict=True)) > -0.01
    assert max(a - b for a, b in itertools.pairwise(ours)) < 0.05


def test_a_learning_rate_that_is_a_hundred_times_too_small_is_made_up_for_and_told(digits, caplog):
    rate = 0.5 / 20 / 100
    assert accuracies(FedAvg(fraction_evaluate=0.0), digits, rate)[-1] < 0.75
    with caplog.at_level(logging.WARNING, "flwr"):
        ours = accuracies(AsyncEMAM(evaluate_clients=False), digits, rate)
    assert ours[-1] > 0.85
    assert max(a - b for a, b in itertools.pairwise(ours)) < 0.05
    (told,) = [r.getMessage() for r in caplog.records if "steps are lengthened" in r.getMessage()]
    assert "no client moves any array by more than" in told
    caplog.clear()
    accuracies(AsyncEMAM(evaluate_clients=False), digits)
    assert not caplog.records


def test_a_step_of_ones_own_that_is_too_long_is_told_once(digits, caplog):
    with caplog.at_level(logging.WARNING, "flwr"):
        accuracies(AsyncEMAM(alpha=0.8, evaluate_clients=False), digits)
    told = [r.getMessage() for r in caplog.records if "explodes" in r.getMessage()]
    assert len(told) == 1
    assert "alpha" in told[0] and "merge" in told[0]


def test_a_loss_that_explodes_is_told_once_and_one_that_falls_is_not(caplog):
    watched = Explosion()
    with caplog.at_level(logging.WARNING, "flwr"):
        for merge in range(4 * OVER):
            watched.note(merge, 1.0, {"train_loss": 2.0 / (1 + merge)})
        assert not caplog.records
        for merge in range(4 * OVER):  # whichever answer last have a harder task
            watched.note(merge, 1.0, {"train_loss": 0.2 if merge // OVER % 2 else 0.02})
        assert not caplog.records
        for merge in range(3 * OVER):
            watched.note(merge, 1.0, {"train_loss": float("nan")})
    assert len([r for r in caplog.records if "loss of the clients explodes" in r.getMessage()]) == 1


def test_the_default_is_a_mean_of_newest_models_and_alpha_a_step_of_ones_own():
    assert AsyncEMAM()._make_aggregator(4, 6) == NewestMean(clients=6)
    assert AsyncEMAM(weight_by_examples=False)._make_aggregator(4, 6).weight_by_examples is False
    assert AsyncEMAM(alpha=0.3)._make_aggregator(4, 6).alpha == 0.3
    with_barrier = EMAM()._make_aggregator(4, 6)
    assert isinstance(with_barrier, EMAMAggregator) and with_barrier.alpha == 1.0


@pytest.mark.parametrize(
    "given", [{"beta": 0.1}, {"staleness": Constant()}, {"serve": "average"}, {"self_check": True}]
)
def test_what_belongs_to_a_step_of_ones_own_is_refused_without_one(given):
    with pytest.raises(ConfigError, match=f"{next(iter(given))} belongs to.*give alpha too"):
        AsyncEMAM(**given)


@pytest.mark.parametrize("select", ["longest-idle", "random"])
def test_whoever_has_waited_longest_works_next(digits, select):
    clients = []
    made = AsyncEMAM(
        concurrency=2,
        select=select,
        evaluate_clients=False,
        on_merge=lambda merge, event: clients.append(event["client"]),
    )
    accuracies(made, digits)
    shares = [Counter(clients[start : start + CLIENTS]) for start in range(0, len(clients), CLIENTS)]
    assert all(len(share) == CLIENTS for share in shares) == (select == "longest-idle")


def test_the_first_order_is_drawn_by_the_seed(digits):
    def first(seed):
        clients = []
        made = AsyncEMAM(
            concurrency=1,
            seed=seed,
            evaluate_clients=False,
            on_merge=lambda merge, event: clients.append(event["client"]),
        )
        accuracies(made, digits)
        return clients[:CLIENTS]

    assert first(1) == first(1) != first(2)


@pytest.mark.parametrize(
    ("clients", "concurrency", "models"), [(4, 0, 4), (4, 1, 4), (30, 1, 10), (30, 12, 12), (30, 0, 30)]
)
def test_the_mean_is_of_as_many_models_as_are_in_flight_and_of_ten_or_all_where_those_are_few(
    clients, concurrency, models
):
    run, _ = run_toy(clients, 2, concurrency=concurrency)
    assert run.aggregator.clients == models


def test_the_examples_of_their_number_are_true():
    assert doctest.testmod(fleet).failed == 0
