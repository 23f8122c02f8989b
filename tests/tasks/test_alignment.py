"""Alignment as a task: what a client makes of its rows, and what a whole run of the preset gives."""

import numpy as np
import pytest

from eafl_flower.alignment import fit_whitening, from_floats, pack, statistics_of
from eafl_flower.app.baselines import baselines_beside
from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.config import RunConfig
from eafl_flower.config.rules import clashes
from eafl_flower.core.rng import generator
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import ConfigError, DataError, ProtocolError
from eafl_flower.radio.mimo import behind, noise_std, user_channel
from eafl_flower.tasks.alignment.task import OverMIMO
from eafl_flower.tasks.training import MessageTask, Training

SMALL = {
    **{"data.name": "latent-world", "data.clients": 4, "data.unseen": 1, "task.name": "alignment"},
    **{"data.latent-world.pilots": 120, "data.latent-world.tests": 80, "data.latent-world.access-point": 16},
    **{"data.latent-world.users": "20,30", "strategy.name": "alignment", "strategy.mode": "sync"},
    **{"codec.name": "none", "task.alignment.transmit-antennas": 2, "task.alignment.channel-uses": 1},
    **{"strategy.merges": 20, "evaluate.every": 20},
}


def config(**changes):
    return RunConfig.from_flat(SMALL | {key.replace("__", "."): value for key, value in changes.items()})


def run_of(given):
    experiment = resolve(given)
    return train(experiment, InlineGrid(client_app(experiment), experiment.source.num_clients))


def test_a_client_answers_with_what_the_equations_say():
    task = OverMIMO(channel_uses=2, transmit_antennas=3, receive_antennas=2, snr_db=7.0, precision="float64").make(
        Training(num_features=16, num_classes=10)
    )
    assert isinstance(task, MessageTask)
    rows = resolve(config()).source.partition(1)
    (start,) = task.init(generator(1, "init"))
    assert start.shape == (2, 6, 8)
    message, reported = task.answer((start,), rows, seed=3, client=1)
    sent, own = rows.x_train[:, :16].T.astype(float), rows.x_train[:, 16:].T.astype(float)
    white, latents = (fit_whitening(pack(part)).apply(pack(part)) for part in (sent, own))
    channel = user_channel(3, 1, 2, 3)
    sigma = noise_std(7.0, channel_uses=2, num_receive=2, num_transmit=3)
    heard = np.kron(np.eye(2), channel) @ from_floats(start) @ white
    n = white.shape[1]
    equalizer = latents @ heard.conj().T @ np.linalg.inv(heard @ heard.conj().T + n * sigma**2 * np.eye(4))
    whole = behind(equalizer, channel)
    np.testing.assert_allclose(from_floats(message["gram"]), whole.conj().T @ whole, atol=1e-9)
    known = statistics_of(latents, white).latents
    np.testing.assert_allclose(from_floats(message["cross"]), whole.conj().T @ known, atol=1e-9)
    left = np.linalg.norm(latents - equalizer @ heard) ** 2 / n + sigma**2 * np.linalg.norm(equalizer) ** 2
    assert reported == {"objective": pytest.approx(left, rel=1e-9)}


@pytest.mark.parametrize("changes", [{}, {"strategy__mode": "async"}, {"strategy__alignment__links": "multi-link"}])
def test_a_run_of_parts_learns_and_scores_those_who_never_answer_too(changes):
    run = run_of(config(**changes))
    first, last = (run.client_scores[number] for number in (0, 20))
    assert last["objective-before"] < first["objective-before"]
    assert last["accuracy-before"] > 0.3  # of ten classes
    if changes.get("strategy__alignment__links") != "multi-link":  # which has no link for them
        assert last["objective-unseen"] < first["objective-unseen"]
        assert last["accuracy-unseen"] > 0.3
    assert run.tally.refused == run.tally.errors == 0


def test_baselines_that_train_a_model_are_left_out_with_the_reason():
    for asked in ("all", "none"):  # nobody is told to ask for more
        beside = baselines_beside(resolve(config(results__baselines=asked)), merges=6)
        assert set(beside.found.values()) == {None}
        assert set(beside.left_out.values()) == {"clients of this task train no model"}


def test_what_there_is_none_of_says_so():
    task = OverMIMO().make(Training(num_features=16, num_classes=10))
    rows = resolve(config()).source.partition(0)
    for ask in (
        lambda: task.train((), rows, generator(1), epochs=1),
        lambda: task.evaluate((), rows),
        lambda: task.predict((), rows.x_test),
    ):
        with pytest.raises(ConfigError, match="its clients answer with messages"):
            ask()
    assert task.personalise((rows.x_test,), rows, generator(1), client=0) == (rows.x_test,)
    task.check_head(())
    with pytest.raises(ProtocolError, match="a head of 1 arrays: an alignment has none"):
        task.check_head((np.zeros(2),))


def test_rows_without_latents_of_the_user_are_refused():
    task = OverMIMO().make(Training(num_features=50, num_classes=10))
    with pytest.raises(DataError, match="rows of 36 columns: expected the 50 of the access point and behind them"):
        task.answer(task.init(generator(1)), resolve(config()).source.partition(0), seed=1, client=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task__name": "tabular"}, 'strategy.name = "alignment" takes messages'),
        ({"strategy__name": "fedavg"}, "answer with messages"),
        (
            {"strategy__mode": "async", "strategy__alignment__keep-missing": False},
            "all others count with their last one",
        ),
        (
            {"strategy__alignment__links": "multi-link", "strategy__alignment__aggregation": "joint"},
            "multi-link has nothing",
        ),
        ({"task__alignment__channel-uses": 0}, "channel-uses"),
        ({"data__name": "digits"}, 'a row of "digits" has no latents of users'),
        ({"task__alignment__snr-db": -4000.0}, "expected a number from -300.0 to 300.0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_before_a_run(changes, words):
    others = [f"{key.partition('__')[0]}." for key in changes if key in ("task__name", "data__name")]
    given = {key: value for key, value in SMALL.items() if not (key.count(".") > 1 and key.startswith(tuple(others)))}
    with pytest.raises(ConfigError, match=words):
        RunConfig.from_flat(given | {key.replace("__", "."): value for key, value in changes.items()})


def test_parts_of_others_may_hold_latents_and_answer_with_messages():
    """Whether they are named by a path or by an entry point: what they do is not known before they are made."""
    values = RunConfig.from_flat(SMALL).to_flat()
    for group in ("data", "task", "strategy"):
        for name in ("package.module:Class", "an-entry-point"):
            assert clashes({**values, f"{group}.name": name}) == []
