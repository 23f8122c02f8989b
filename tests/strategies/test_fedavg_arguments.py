"""FedAvg's own arguments, in the installed flwr, are AsyncEMAM's too."""

import inspect

import numpy as np
import pytest
from flwr.app import MetricRecord
from flwr.serverapp.strategy import FedAvg
from foreign_app import NUM_CLIENTS, of_kind, run_foreign

from eafl_flower.clients import compression_mod
from eafl_flower.codecs import Int8Codec
from eafl_flower.errors import ConfigError, RunFailedError
from eafl_flower.strategies import EMAM, AsyncEMAM, RunOptions


def test_all_of_fedavgs_arguments_are_there_with_fedavgs_defaults():
    for name, parameter in inspect.signature(FedAvg).parameters.items():
        assert getattr(RunOptions(), name) == parameter.default, name


@pytest.mark.parametrize("codec", [None, Int8Codec()], ids=["plain", "coded"])
@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM])
def test_names_of_records_and_of_the_weight_are_the_users(strategy, codec):
    names = {"arrays": "model", "config": "settings", "weight": "rows"}
    if codec is not None:
        names["mods"] = [compression_mod(codec)]
    made = strategy(codec=codec, arrayrecord_key="model", configrecord_key="settings", weighted_by_key="rows")
    result, _ = run_foreign(made, 2, **names)
    weights = 5.0 * np.arange(1, NUM_CLIENTS + 1)
    expected = float(weights @ np.arange(NUM_CLIENTS) / weights.sum())
    assert made.run.tally.updates == 2 * NUM_CLIENTS
    assert result.evaluate_metrics_clientapp[2]["accuracy"] == pytest.approx(expected)
    assert "rows" not in result.train_metrics_clientapp[1]


def test_weights_below_1_weigh_as_they_are():
    result, _ = run_foreign(EMAM(norm_guard=0.0, weighted_by_key="share"), 1, weight="share", scale=1 / 1000)
    reference, _ = run_foreign(FedAvg(weighted_by_key="share"), 1, weight="share", scale=1 / 1000)
    np.testing.assert_allclose(result.arrays["w"].numpy(), reference.arrays["w"].numpy(), rtol=1e-6)


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM])
def test_metrics_are_aggregated_by_the_users_functions(strategy):
    calls = []

    def largest(contents, weighted_by):
        records = [next(iter(content.metric_records.values())) for content in contents]
        calls.append((len(records), weighted_by, {record[weighted_by] for record in records}))
        return MetricRecord({"largest": max(v for r in records for k, v in r.items() if k != weighted_by)})

    made = strategy(train_metrics_aggr_fn=largest, evaluate_metrics_aggr_fn=largest)
    result, _ = run_foreign(made, 2)
    assert result.evaluate_metrics_clientapp[1] == {"largest": NUM_CLIENTS - 1.0}
    assert result.evaluate_metrics_clientapp == made.run.client_scores
    assert set(result.train_metrics_clientapp[1]) == {"largest"}
    assert [(n, key) for n, key, _ in calls] == [(NUM_CLIENTS, "num-examples")] * 4


def test_a_share_of_the_clients_is_drawn_for_each_evaluation_the_same_for_the_same_seed():
    runs = [run_foreign(AsyncEMAM(fraction_evaluate=0.5, seed=seed), 8)[1] for seed in (1, 1, 2)]
    asked = [[client for kind, client, _ in seen if kind == "evaluate"] for seen in runs]
    assert asked[0] == asked[1] != asked[2]
    assert len(asked[0]) == 8 * 3
    assert set(asked[0]) == set(range(NUM_CLIENTS))


def test_no_client_is_asked_where_the_fraction_is_0():
    result, seen = run_foreign(AsyncEMAM(fraction_evaluate=0.0), 2)
    assert of_kind(seen, "evaluate") == []
    assert result.evaluate_metrics_clientapp == {}


@pytest.mark.parametrize("wrong", [{"fraction_train": 0.0}, {"fraction_train": 1.5}, {"fraction_evaluate": -0.1}])
def test_fractions_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} = "):
        AsyncEMAM(**wrong)


def test_the_start_waits_for_as_many_nodes_as_train():
    with pytest.raises(RunFailedError, match="1 of 2 nodes answered"):
        run_foreign(AsyncEMAM(min_available_nodes=1, node_timeout_s=0.2), 1, nodes=1)
    run_foreign(made := AsyncEMAM(min_available_nodes=1, min_train_nodes=1), 3, nodes=1)
    assert made.run.version == 3
