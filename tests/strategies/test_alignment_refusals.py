"""Answers and settings of a federated alignment that cannot be: refused in words, and nothing is lost."""

import re

import numpy as np
import pytest
from alignment_federation import (
    USERS,
    WORLD,
    align,
    deployed,
    learner_of,
)

from eafl_flower.alignment import Alignment
from eafl_flower.clients import alignment_app
from eafl_flower.errors import ConfigError, DataError, RunFailedError
from eafl_flower.strategies import FederatedAlignment
from eafl_flower.wire.arrays import array_record


def replaced(client, **arrays):
    """A mod that changes what this client answers."""

    def mod(message, context, call_next):
        reply = call_next(message, context)
        if message.metadata.message_type == "train" and context.node_config["partition-id"] == client:
            record = reply.content["arrays"]
            known = {name: array.numpy() for name, array in record.items()}
            changed = known | {name: make(known[name]) for name, make in arrays.items()}
            reply.content["arrays"] = array_record(list(changed), list(changed.values()))
        return reply

    return mod


@pytest.mark.parametrize("synchronous", [True, False])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gram": lambda a: a[:, :-1]}, r"expected float32 \(2, 8, 8\)"),
        ({"gram": lambda a: np.full_like(a, np.nan)}, "not finite: NaN or infinite values in array 0"),
        ({"cross": lambda a: np.full_like(a, np.inf)}, "not finite: NaN or infinite values in array 1"),
        ({"gram": lambda a: np.triu(np.ones_like(a))}, r"M\^H M, is not Hermitian"),
        ({"gram": np.negative}, "has an eigenvalue of -"),
        ({"cross": lambda a: a.astype(np.float64)}, "expected float32"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_and_nothing_is_lost(change, words, synchronous):
    options = {"num_rounds": 4, "mods": [replaced(1, **change)], "error_budget": 1000, "backoff_s": 0.0}
    strategy, recorder = align(synchronous=synchronous, **options)
    assert {event["client"] for event in recorder.of("refused")} == {1}
    assert strategy.run.tally.refused == len(recorder.of("refused")) >= 3
    assert {event["client"] for event in recorder.of("merge")} == {0, 2}
    for event in recorder.of("refused"):
        assert re.search(words, event["reason"])
    if synchronous:
        only, _ = align(keep_missing=False, **options)
        assert only.run.arrays_sha256() == strategy.run.arrays_sha256()  # it never counted
    assert all(np.isfinite(precoder).all() for precoder in deployed(strategy))


def test_a_run_of_which_no_answer_can_be_used_says_so():
    with pytest.raises(RunFailedError, match="is not Hermitian"):
        align(mods=[replaced(k, gram=lambda a: np.triu(np.ones_like(a))) for k in range(USERS)], error_budget=3)


def test_a_user_of_another_exchange_is_told_what_was_expected():
    app = alignment_app(lambda user: learner_of(user, Alignment(exchange="pilots")))
    with pytest.raises(RunFailedError, match=r"received \(8, 12\): expected \(uses x 2 antennas, 400\)"):
        align(app=app, error_budget=2)


def alike():
    """All nodes are the same user."""
    return alignment_app(lambda _: learner_of(0, Alignment(exchange="pilots")))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: FederatedAlignment(WORLD.pilots[0], num_transmit=0), ConfigError, "at least one antenna"),
        (lambda: FederatedAlignment(np.zeros((4, 9)), num_transmit=1), DataError, "all the same"),
        (lambda: FederatedAlignment(np.full((4, 9), np.nan), num_transmit=1), DataError, "not finite"),
        (lambda: align(Alignment(exchange="pilots"), channels=()), ConfigError, "give white and channels"),
        (
            lambda: align(Alignment(exchange="pilots"), channels=[np.ones((2, 3), complex)]),
            ConfigError,
            r"channel of user 0 is \(2, 3\): expected 2 columns",
        ),
        (
            lambda: align(Alignment(exchange="pilots"), channels=[np.full((2, 2), np.nan)]),
            ConfigError,
            "channel of user 0 is .*: expected a finite matrix",
        ),
        (lambda: FederatedAlignment(np.eye(4) * 1e200, num_transmit=1), DataError, "squares are not finite"),
        (lambda: align(precision="float16"), ConfigError, 'expected "float32" or "float64"'),
        (lambda: align(barrier=True), ConfigError, "say synchronous"),
        (lambda: align(synchronous=False, keep_missing=False), ConfigError, "keep_missing = False"),
        (lambda: align(Alignment(rho="auto")), ConfigError, "give snr_db"),
        (lambda: align(Alignment(rho="auto"), snr_db=float("nan")), ConfigError, "snr_db = nan: expected a number"),
        (lambda: FederatedAlignment(WORLD.pilots[0], num_transmit=1).sender(), ConfigError, "call start first"),
        (lambda: align(Alignment(exchange="pilots"), users=4, app=alike()), ConfigError, "user 3 has no channel"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_run_starts_from_one_precoder_of_the_right_shape():
    strategy = FederatedAlignment(WORLD.pilots[0], num_transmit=2)
    with pytest.raises(ConfigError, match=r"shapes \[\(2, 8, 3\)\]: expected one array \(2, 8, 12\)"):
        strategy.start(None, array_record(["precoder"], [np.zeros((2, 8, 3), np.float32)]))
