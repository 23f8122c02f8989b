"""What Flower's users hang into a strategy: overridden steps are errors that name the hook, and the hooks work."""

import pytest
from flwr.app import ConfigRecord, MetricRecord
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.server import Server, ServerConfig, SimpleClientManager
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping
from foreign_app import NUM_CLIENTS, of_kind, run_foreign

from eafl_flower.errors import ConfigError, EAFLError, RunFailedError
from eafl_flower.strategies import EMAM, AsyncEMAM


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM])
@pytest.mark.parametrize(
    ("step", "hook"),
    [
        ("configure_train", "on_dispatch"),
        ("aggregate_train", "on_merge"),
        ("configure_evaluate", "evaluate_config"),
        ("aggregate_evaluate", "on_evaluate"),
    ],
)
def test_an_overridden_step_is_an_error_that_names_the_hook(strategy, step, hook):
    mine = type("Mine", (strategy,), {step: lambda self, *args: getattr(strategy, step)(self, *args)})
    with pytest.raises(ConfigError, match=f"Mine overrides {step}, which is never called.*{hook}"):
        mine()
    with pytest.raises(ConfigError, match=hook):
        type("Grandchild", (mine,), {})()


def test_an_overridden_start_works():
    class Mine(AsyncEMAM):
        def start(self, grid, initial_arrays, **given):
            self.result = super().start(grid, initial_arrays, **given)
            return self.result

    result, _ = run_foreign(made := Mine(), 2)
    assert result is made.result
    assert list(result.evaluate_metrics_clientapp) == [1, 2]


def test_a_start_or_a_wrapper_that_goes_through_rounds_is_told_so_in_one_line():
    class Mine(AsyncEMAM):
        def start(self, grid, initial_arrays, **given):
            return list(self.configure_train(1, initial_arrays, ConfigRecord(), grid))

    for made in (Mine(), DifferentialPrivacyServerSideFixedClipping(AsyncEMAM(), 1.0, 1.0, 2)):
        with pytest.raises(EAFLError, match=r"AsyncEMAM has no rounds|Mine has no rounds") as caught:
            run_foreign(made, 1)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM])
def test_on_dispatch_is_a_learning_rate_schedule(strategy):
    def halve(server_round, config):
        assert config["server-round"] == server_round
        config["lr"] = config["lr"] * 0.5 ** (server_round - 1)

    given = ConfigRecord({"lr": 0.8})
    _, seen = run_foreign(strategy(on_dispatch=halve), 3, train_config=given)
    assert {(c["server-round"], c["lr"]) for c in of_kind(seen, "train")} == {(1, 0.8), (2, 0.4), (3, 0.2)}
    assert dict(given) == {"lr": 0.8}
    assert all("lr" not in c for c in of_kind(seen, "evaluate"))


def test_on_merge_sees_each_merge_and_on_evaluate_each_evaluation():
    merges, evaluations = [], []
    made = AsyncEMAM(
        on_merge=lambda merge, event: merges.append((merge, event["staleness"] >= 0, event["metrics"]["loss"] >= 0)),
        on_evaluate=lambda number, arrays, scores: evaluations.append((number, arrays["w"].numpy()[0], dict(scores))),
    )
    result, _ = run_foreign(made, 2, evaluate_fn=lambda number, arrays: MetricRecord({"central": float(number)}))
    assert merges == [(i, True, True) for i in range(1, 2 * NUM_CLIENTS + 1)]
    assert [(number, scores["central"]) for number, _, scores in evaluations] == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert ["accuracy" in scores for *_, scores in evaluations] == [False, True, True]
    assert evaluations[-1][1] == result.arrays["w"].numpy()[0]


@pytest.mark.parametrize(("theirs", "ours"), [("fraction_fit", "fraction_train"), ("on_fit_config_fn", "on_dispatch")])
def test_a_setting_of_the_legacy_api_is_refused_with_the_one_to_use(theirs, ours):
    with pytest.raises(ConfigError, match=f"no setting {theirs}; {theirs} is called {ours} here$"):
        AsyncEMAM(**{theirs: 0.5})


def test_the_legacy_api_gets_one_line_that_says_what_to_do():
    server = Server(client_manager=SimpleClientManager(), strategy=AsyncEMAM())
    with pytest.raises(ConfigError, match=r"Message API.*@app\.main") as caught:
        server.fit(ServerConfig(num_rounds=1).num_rounds, None)
    assert "\n" not in str(caught.value)


class Legacy(NumPyClient):
    def fit(self, parameters, config):
        return parameters, 1, {}


def test_a_legacy_client_app_is_told_what_to_do():
    app = ClientApp(client_fn=lambda context: Legacy().to_client())
    with pytest.raises(RunFailedError, match="numpy_client_app"):
        run_foreign(AsyncEMAM(), 1, app=app)
