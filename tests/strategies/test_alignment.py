"""A federated alignment as a Flower strategy and its client: what crosses the wire, and what comes of it."""

import logging
import math
from dataclasses import dataclass

import numpy as np
import pytest
from alignment_federation import (
    CHANNELS,
    OWN,
    USERS,
    WHITE,
    WORLD,
    align,
    deployed,
    learner_of,
    objective_of,
    pure,
)
from toy_federation import Recorder, network

from eafl_flower.alignment import Alignment, Receiver, from_floats
from eafl_flower.codecs import Int8Codec
from eafl_flower.codecs.emq.codec import EMQCodec
from eafl_flower.core.rng import generator
from eafl_flower.radio.mimo import noisy, through
from eafl_flower.wire.arrays import arrays_of

WAYS = {
    f"{exchange}, {name}": Alignment(exchange=exchange, power=0.1, **way)  # which is soon reached
    for exchange in ("statistics", "pilots")
    for name, way in {
        "average": {},
        "joint": {"aggregation": "joint"},
        "consensus": {"aggregation": "consensus"},
        "multi-link": {"links": "multi-link"},
    }.items()
}
EVERY_WAY = pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
SYMBOLS, DIMENSIONS, PILOTS, TESTS = 8, 12, 400, 600
EXACT = {"precision": "float64"}


class Wire:
    """A mod around all others: keeps what nodes are sent and what they answer."""

    def __init__(self):
        self.seen = []

    def __call__(self, message, context, call_next):
        kind, client = message.metadata.message_type, context.node_config["partition-id"]
        down = {name: dict(record) for name, record in message.content.items()} if message.has_content() else {}
        reply = call_next(message, context)
        up = {name: dict(record) for name, record in reply.content.items()}
        if kind != "query":
            self.seen.append((kind, client, down, up))
        return reply


@EVERY_WAY
def test_a_run_is_the_pure_alignment(settings):
    strategy, recorder = align(settings, num_rounds=12, **EXACT)
    (start,) = arrays_of(strategy.initial())
    access_point, state = pure(settings, rounds=12, start=start)
    for user, precoder in enumerate(deployed(strategy)):
        np.testing.assert_allclose(precoder, access_point.deployed(state, user), atol=1e-12)
    assert strategy.run.version == 12
    assert len(recorder.of("merge")) == 12 * USERS


def test_a_clock_on_the_wall_makes_the_same_of_the_same_answers():
    virtual, _ = align(num_rounds=4)
    wall, _ = align(num_rounds=4, clock="wall")
    assert wall.run.arrays_sha256() == virtual.run.arrays_sha256()


@EVERY_WAY
def test_only_the_messages_of_the_method_cross_the_wire(settings):
    wire = Wire()
    strategy, _ = align(settings, num_rounds=3, mods=[wire], evaluate_every=3, **EXACT)
    (start,) = arrays_of(strategy.initial())
    pilots = settings.exchange == "pilots"
    trained = [seen for seen in wire.seen if seen[0] == "train"]
    assert len(trained) == 3 * USERS
    for kind, _, down, up in wire.seen:
        assert set(down) == {"arrays", "config", "eafl"}
        assert set(down["arrays"]) == {"precoder"}
        assert set(up) == ({"arrays", "metrics"} if kind == "train" else {"metrics"})
        if kind == "train":
            assert set(up["arrays"]) == {"gram", "cross"}
            assert set(up["metrics"]) == {"num-examples", "objective"}
            assert up["arrays"]["gram"].shape == (2, SYMBOLS, SYMBOLS)
            assert up["arrays"]["cross"].shape == (2, SYMBOLS, PILOTS if pilots else DIMENSIONS)
        sent = down["arrays"]["precoder"].shape
        assert sent == ((2, SYMBOLS, PILOTS + TESTS * (kind == "evaluate")) if pilots else (2, SYMBOLS, DIMENSIONS))
    for _, client, down, up in trained[:USERS]:  # the first round, with values
        blocks = np.kron(np.eye(4), CHANNELS[client])
        received = from_floats(down["arrays"]["precoder"].numpy())
        precoder = from_floats(start)
        np.testing.assert_allclose(received, blocks @ precoder @ WHITE if pilots else precoder, atol=1e-12)
        own = OWN[client] if pilots else OWN[client] @ WHITE.conj().T / (PILOTS - 1)
        user = learner_of(client, settings).user
        heard = received if pilots else blocks @ received
        behind = user.equalizer(heard) @ blocks
        gram, cross = (from_floats(up["arrays"][name].numpy()) for name in ("gram", "cross"))
        np.testing.assert_allclose(gram, behind.conj().T @ behind, atol=1e-10)
        np.testing.assert_allclose(cross, behind.conj().T @ own, atol=1e-10)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("exchange", ["statistics", "pilots"])
def test_the_ledger_books_what_the_matrices_take(exchange, precision):
    strategy, recorder = align(Alignment(exchange=exchange), num_rounds=4, precision=precision)
    size = {"float32": 4, "float64": 8}[precision]
    columns = PILOTS if exchange == "pilots" else DIMENSIONS
    up, down = 2 * SYMBOLS * (SYMBOLS + columns) * size, 2 * SYMBOLS * columns * size
    assert {event["uplink_bytes"] for event in recorder.of("merge")} == {up}
    assert {event["downlink_bytes"] for event in recorder.of("merge")} == {down}
    ledger = strategy.run.ledger
    assert ledger.total("uplink").payload_bytes == 4 * USERS * up
    assert ledger.total("downlink").payload_bytes == 4 * USERS * down
    assert ledger.total("uplink").framed_bytes > ledger.total("uplink").payload_bytes


def test_numbers_of_single_precision_are_enough():
    exact, _ = align(**EXACT)
    single, _ = align()
    assert objective_of(deployed(single)) == pytest.approx(objective_of(deployed(exact)), rel=1e-6)


@pytest.mark.parametrize("aggregation", ["average", "joint", "consensus"])
def test_answers_that_count_when_they_come_reach_the_objective_of_rounds(aggregation):
    settings = Alignment(aggregation=aggregation)
    rounds, _ = align(settings, num_rounds=30, **EXACT)
    pace = network(cycles=1e8, slowdown=(1, 3, 9))  # computation takes longest: the fast answer nine times as often
    alone, recorder = align(settings, num_rounds=60, synchronous=False, **pace, **EXACT)
    merges = [event["client"] for event in recorder.of("merge")]
    assert merges.count(0) > 5 * merges.count(2) > 0
    assert max(event["staleness"] for event in recorder.of("merge")) > 5
    assert objective_of(deployed(alone)) == pytest.approx(objective_of(deployed(rounds)), rel=1e-3)


@dataclass(frozen=True)
class Leaves:
    """Client 2 is gone for good from this time on [s]."""

    at_s: float
    back_s: float = math.inf

    def interval(self, client, time_s):
        if client != 2 or time_s >= self.back_s:
            return True, math.inf
        return (True, self.at_s) if time_s < self.at_s else (False, self.back_s)


@pytest.mark.parametrize("keep", [True, False])
def test_who_leaves_in_mid_run_counts_as_it_is_said_and_that_is_told_once(keep, caplog):
    caplog.set_level(logging.WARNING)
    whole, recorder = align(num_rounds=10, **EXACT)
    half_s = [event["time_s"] for event in recorder.of("merge")][5 * USERS] - 1e-3  # during the sixth round
    strategy, recorder = align(num_rounds=10, churn=Leaves(half_s), keep_missing=keep, **EXACT)
    assert strategy.run.tally.lost == 1
    assert [event["client"] for event in recorder.of("merge")].count(2) == 5
    (told,) = [record.getMessage() for record in caplog.records if "have answered before" in record.getMessage()]
    counts = "with their last answers (keep_missing)" if keep else "not at all until they answer again"
    assert told == f"users 2 have answered before, but not in round 6: they count {counts}"
    known = {int(name.split()[1]) for name in strategy.run.state.known if name.startswith("gram")}
    assert known == ({0, 1, 2} if keep else {0, 1})
    assert objective_of(deployed(whole)) < objective_of(deployed(strategy))
    others = objective_of(deployed(strategy)[:2])
    if not keep:  # the others have the precoder for themselves
        assert others < objective_of(deployed(whole)[:2])


def test_who_comes_back_counts_again():
    away, recorder = align(num_rounds=10, churn=Leaves(1.0, back_s=3.0), keep_missing=False, **EXACT)
    assert 0 < [event["client"] for event in recorder.of("merge")].count(2) < 10
    assert {name for name in away.run.state.known if name.startswith("gram")} == {"gram 0", "gram 1", "gram 2"}


CODECS = {
    "int8": Int8Codec(),
    "emq": EMQCodec(squared_error=1e-4, scope="layer"),
}


@pytest.mark.parametrize(
    ("codec", "settings"),
    [("int8", Alignment()), ("emq", Alignment()), ("emq", Alignment(exchange="pilots", links="multi-link"))],
)
def test_codecs_make_messages_short_and_cost_little_of_the_objective(codec, settings):
    plain, _ = align(settings, num_rounds=15)
    coded, recorder = align(settings, num_rounds=15, codec=CODECS[codec])
    assert not recorder.of("refused")
    spent, whole = coded.run.ledger.total("uplink"), plain.run.ledger.total("uplink")
    assert spent.payload_bytes < whole.payload_bytes / 2
    assert objective_of(deployed(coded)) == pytest.approx(objective_of(deployed(plain)), rel=5e-3)
    errors = [event["codec_error"] for event in recorder.of("merge")]
    assert 0 < max(errors) < 0.1


@pytest.mark.parametrize("exchange", ["statistics", "pilots"])
def test_raw_bytes_of_a_coded_message_are_those_of_the_same_message_without_a_codec(exchange):
    """In each direction: what goes up has another size than what comes down."""
    settings = Alignment(exchange=exchange)
    (_, plain), (_, coded) = (align(settings, num_rounds=2, codec=codec) for codec in (None, CODECS["int8"]))
    for event, same in zip(coded.of("merge"), plain.of("merge"), strict=True):
        assert event["uplink_bytes"] < event["raw_bytes"] == same["raw_bytes"] == same["uplink_bytes"]
        assert event["downlink_bytes"] < event["raw_downlink_bytes"] == same["downlink_bytes"]


def test_scores_are_those_of_the_received_latents():
    strategy, _ = align(num_rounds=5, evaluate_every=5, **EXACT)
    accuracies, errors, objectives = [], [], []
    for user, precoder in enumerate(deployed(strategy)):
        learner = learner_of(user)
        equalizer = learner.user.equalizer(learner.user.hears(precoder))
        sent = strategy.sender(user).symbols(WORLD.tests[0])
        received = noisy(through(CHANNELS[user], sent), learner.user.noise_std, generator(5, "noise", user))
        found = Receiver(whitening=learner.whitening, equalizer=equalizer, size=learner.size).latents(received)
        accuracies.append(np.mean(learner.tests.classify(found) == WORLD.labels))
        errors.append(np.mean((found - WORLD.tests[user + 1]) ** 2))
        objectives.append(objective_of(deployed(strategy)[user : user + 1]) if user == 0 else 0.0)
    (scores,) = strategy.run.client_scores.values()
    assert scores["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert scores["mse"] == pytest.approx(np.mean(errors), rel=1e-9)
    assert scores["objective"] == pytest.approx(objective_of(deployed(strategy)) / USERS, rel=1e-9)


@pytest.mark.parametrize("exchange", ["statistics", "pilots"])
def test_both_exchanges_are_scored_alike(exchange):
    strategy, _ = align(Alignment(exchange=exchange), num_rounds=5, evaluate_every=5, **EXACT)
    other, _ = align(num_rounds=5, evaluate_every=5, **EXACT)
    assert strategy.run.client_scores[5] == pytest.approx(other.run.client_scores[5], rel=1e-9)


@pytest.mark.parametrize("exchange", ["statistics", "pilots"])
def test_the_released_deployment_judges_with_the_equalizers_of_the_last_answers(exchange):
    settings = Alignment(exchange=exchange, deploy="F_stale")
    strategy, _ = align(settings, num_rounds=6, evaluate_every=6, **EXACT)
    before, _ = align(settings, num_rounds=5, **EXACT)
    total = 0.0
    for user in range(USERS):
        known = learner_of(user).user
        equalizer = known.equalizer(known.hears(deployed(before)[user]))  # of the precoder of the sixth round
        total += known.objective(equalizer, known.hears(deployed(strategy)[user]))
    assert strategy.run.client_scores[6]["objective"] == pytest.approx(total / USERS, rel=1e-9)


@pytest.mark.parametrize(
    ("settings", "codec", "synchronous"),
    [
        (Alignment(deploy="F_stale"), "emq", True),
        (Alignment(exchange="pilots"), "plain", False),
        (Alignment(exchange="pilots", aggregation="consensus"), "emq", True),
        (Alignment(links="multi-link"), "int8", True),
        (Alignment(links="multi-link"), "emq", False),
        (Alignment(aggregation="joint"), "plain", False),
    ],
)
def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path, settings, codec, synchronous):
    def go(name, recorder=None, **more):
        return align(
            settings,
            num_rounds=8,
            codec=CODECS.get(codec),
            synchronous=synchronous,
            state_dir=tmp_path / name,
            recorder=recorder,
            checkpoint=tmp_path / f"{name}.c",
            checkpoint_every=2,
            evaluate_every=3,
            **network(cycles=1e8, slowdown=(1, 2, 5)),
            **more,
        )

    whole, told = go("whole")
    recorder = Recorder(stop_at=len(told.events) * 2 // 3)
    with pytest.raises(KeyboardInterrupt):
        go("killed", recorder)
    strategy, recorder = go("killed", recorder, resume=True)
    assert strategy.run.arrays_sha256() == whole.run.arrays_sha256()
    assert recorder.told() == told.told()
    assert strategy.run.state.known.keys() == whole.run.state.known.keys()
