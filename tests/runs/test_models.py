"""Several models in one run, between which a vehicle may change from one job to the next."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from flwr.app import ArrayRecord
from ordered_app import START, Sums, factory_of
from toy_federation import Recorder, network

from eafl_flower.aggregation import EMAMAggregator, FedAvg, NewestMean
from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.conformance.event_log import check_events
from eafl_flower.core.orders import Order
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import CheckpointError, ConfigError, RunFailedError
from eafl_flower.strategies import AsynchronousStrategy
from eafl_flower.types import digest

CODECS = {"plain": None, "int8": Int8Codec(), "lqgcm": LQGCMCodec(tuples=8, downlink_tuples=4)}
NAMES = ("speech", "text")


def models():
    """Both have the same names and shapes: only its own name tells one from the other."""
    speech = ArrayRecord([START.copy(), np.zeros(3, np.float32)])
    text = ArrayRecord([START.copy() + 5, np.zeros(3, np.float32)])
    return {"speech": speech, "text": text}


@dataclass(frozen=True)
class InTurn:
    """Vehicle 0 trains the first model, vehicle 1 the second, and all others change after every second job."""

    def init(self, clients):
        return None

    def offer(self, state, client, forecast):
        place = client if client < 2 else (forecast.jobs // 2 + client) % 2
        return Order(model=NAMES[place])

    def learn(self, state, outcome):
        return None


@dataclass(frozen=True)
class Always:
    model: str

    def init(self, clients):
        return None

    def offer(self, state, client, forecast):
        return Order(model=self.model)

    def learn(self, state, outcome):
        return None


def run_models(
    codec=None, *, initial=None, aggregator=FedAvg, barrier=False, app=None, recorder=None, grid=None, **options
):
    recorder = recorder or Recorder()
    options = {"unit": "merges", **network(), "seed": 3, "node_timeout_s": 5.0, **options}
    options.setdefault("scheduler", InTurn())
    num_rounds = options.pop("num_rounds", 32)
    strategy = AsynchronousStrategy(lambda *_: aggregator(), barrier=barrier, codec=codec, observer=recorder, **options)
    app = app or factory_of(codec, models=("", *NAMES))()
    strategy.start(grid or InlineGrid(app, 5), initial or models(), num_rounds=num_rounds)
    return strategy.run, recorder


def test_each_model_has_its_own_merges_versions_and_staleness():
    run, recorder = run_models()
    merges = recorder.of("merge")
    assert [e["merge"] for e in merges] == list(range(1, 33))
    assert {name: int(s.version) for name, s in run.states.items()} == {
        name: sum(e["model"] == name for e in merges) for name in NAMES
    }
    assert {e["client"] for e in merges if e["model"] == "speech"} >= {0, 2, 3, 4}
    assert {e["client"] for e in merges if e["model"] == "text"} >= {1, 2, 3, 4}
    for name in NAMES:
        for version, event in enumerate(e for e in merges if e["model"] == name):
            assert event["staleness"] == version - event["base_version"] >= 0
    check_events(recorder.events)


def test_a_model_is_what_its_own_clients_have_made_of_it():
    run, recorder = run_models(scheduler=Always("text"), num_rounds=8)
    arrays = dict(zip(run.result.arrays, run.result.arrays.to_numpy_ndarrays(), strict=True))
    assert list(arrays) == ["speech/0", "speech/1", "text/0", "text/1"]
    np.testing.assert_array_equal(arrays["speech/0"], START)
    steps = sum(0.1 * (e["client"] + 1) + 0.001 * e["metrics"]["made"] for e in recorder.of("merge"))
    np.testing.assert_allclose(arrays["text/0"], START + 5 + steps, rtol=1e-5)


def test_without_an_order_all_train_the_first():
    run, _ = run_models(scheduler=Always(""), num_rounds=8)
    assert {name: int(s.version) for name, s in run.states.items()} == {"speech": 8, "text": 0}


def test_one_model_with_a_name_is_trained_as_one_without():
    alone, told = run_models(initial=models()["speech"], scheduler=Always(""), app=factory_of(models=("",))())
    named, same = run_models(initial={"speech": models()["speech"]}, scheduler=Always(""))
    assert alone.arrays_sha256() == named.arrays_sha256()
    assert [e["client"] for e in told.of("merge")] == [e["client"] for e in same.of("merge")]


@pytest.mark.parametrize("codec", CODECS)
def test_nothing_that_a_codec_remembers_of_one_model_reaches_another(codec):
    """Not error feedback: nobody changes the second model, and nothing changes it."""
    app = factory_of(CODECS[codec], models=NAMES, still=("text",))()
    run, recorder = run_models(CODECS[codec], num_rounds=60, app=app)
    assert not recorder.of("refused") + recorder.of("error")
    assert {e["model"] for e in recorder.of("merge") if e["client"] == 3} == set(NAMES)
    for array, start in zip(run.states["text"].arrays, models()["text"].to_numpy_ndarrays(), strict=True):
        np.testing.assert_array_equal(array, start)


@pytest.mark.parametrize("codec", CODECS)
def test_a_vehicle_that_changes_its_model_is_sent_whole_arrays_and_builds_on_no_upload(codec):
    heard = {}

    def hear(message, context, call_next):
        if message.metadata.message_type == "train" and "eafl" in message.content:
            onto = message.content["eafl.arrays"].get("onto", 0) if codec != "plain" else 0
            heard.setdefault(context.node_config["partition-id"], []).append((dict(message.content["eafl"]), onto))
        return call_next(message, context)

    run_models(CODECS[codec], num_rounds=60, app=factory_of(CODECS[codec], models=NAMES, outer=[hear])())
    for jobs in heard.values():
        for (before, _), (now, onto) in pairwise(jobs):
            changes = before["model"] != now["model"]
            assert now["acknowledged"] == (0 if changes else before["counter"])
            assert (onto > 0) == (codec == "lqgcm" and not changes)


def test_clients_evaluate_the_model_of_their_newest_job():
    run, _ = run_models(num_rounds=20, evaluate_every=10)
    places = {client: int(run.jobs.table.model[client]) for client in range(5)}
    assert (places[0], places[1]) == (0, 1)
    weights = {client: 5 * (client + 1) for client in places}
    expected = sum(weights[c] * place for c, place in places.items()) / sum(weights.values())
    assert run.client_scores[20]["models"] == pytest.approx(1 + expected)  # "" is the first that clients know


def test_a_central_evaluation_gets_the_arrays_of_all_models():
    seen = []
    strategy = AsynchronousStrategy(lambda *_: FedAvg(), unit="merges", scheduler=InTurn(), **network())
    app = factory_of(models=NAMES)()
    strategy.start(InlineGrid(app, 5), models(), num_rounds=4, evaluate_fn=lambda n, record: seen.append(list(record)))
    assert seen[-1] == ["speech/0", "speech/1", "text/0", "text/1"]


@pytest.mark.parametrize("barrier", [False, True])
def test_rounds_of_several_models_are_counted_as_rounds(barrier):
    run, recorder = run_models(aggregator=EMAMAggregator if barrier else NewestMean, barrier=barrier, num_rounds=6)
    assert run.version == 6
    assert len(recorder.of("merge")) == (30 if barrier else 6)
    assert sum(int(s.version) for s in run.states.values()) == (12 if barrier else 6)


@pytest.mark.parametrize("barrier", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_a_run_of_several_models_that_was_killed_ends_as_if_nothing_had_happened(tmp_path, codec, barrier):
    options = {"barrier": barrier, "checkpoint_every": 2, "num_rounds": 7 if barrier else 32}

    def go(name, recorder=None, **more):
        app = factory_of(CODECS[codec], models=NAMES, state_dir=tmp_path / name)()
        path = tmp_path / f"{name}.c"
        return run_models(CODECS[codec], app=app, recorder=recorder, checkpoint=path, **options, **more)

    whole, told = go("whole")
    for share in (0.4, 0.7):
        name, recorder = f"killed {share}", Recorder(stop_at=int(len(told.events) * share))
        with pytest.raises(KeyboardInterrupt):
            go(name, recorder)
        run, recorder = go(name, recorder, resume=True)
        assert run.arrays_sha256() == whole.arrays_sha256()
        assert recorder.told() == told.told()
    others = [
        {"speech": models()["speech"]},
        dict(reversed(models().items())),
        {**models(), "image": ArrayRecord([START])},
    ]
    for initial in others:
        with pytest.raises(CheckpointError, match=r"holds a model with other arrays .*, or models in another order"):
            go(name, resume=True, initial=initial)


def test_models_may_differ_in_shape_and_take_messages(tmp_path):
    initial = {
        "speech": models()["speech"],
        "text": ArrayRecord([START.copy() * 2, np.zeros(9), np.zeros(3, np.float32)]),
    }
    app = factory_of(kind="message", models=NAMES)()
    run, _ = run_models(initial=initial, aggregator=Sums, app=app)
    assert [len(s.arrays) for s in run.states.values()] == [2, 3]
    assert run.version == 32
    assert run.arrays_sha256() == digest([a for s in run.states.values() for a in s.arrays])


def test_an_order_for_a_model_that_does_not_exist_is_one_line():
    with pytest.raises(ConfigError, match='an order is for model "image": the run has "speech", "text"'):
        run_models(scheduler=Always("image"))
    with pytest.raises(ConfigError, match='an order is for model "image": the run has one, without a name'):
        run_models(initial=models()["speech"], scheduler=Always("image"))


def test_an_order_for_a_model_that_the_client_does_not_have_is_one_line():
    with pytest.raises(RunFailedError, match=r"client \d has no model 'text', it has \('speech',\)"):
        run_models(app=factory_of(models=("speech",))(), scheduler=Always("text"), error_budget=3)


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ({"": models()["speech"]}, "has a model '': expected up to 64 letters"),
        ({"a/b": models()["speech"]}, "has a model 'a/b'"),
        ({"speech": ArrayRecord()}, "initial_arrays is empty"),
    ],
)
def test_models_need_names_and_arrays(initial, message):
    with pytest.raises(ConfigError, match=message):
        run_models(initial=initial)
