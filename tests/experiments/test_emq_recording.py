"""A recording tells of a run what happened in it, whatever the radio."""

import numpy as np
import pytest

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import RunFailedError
from experiments.emq.recording import Recording, _Notes, recorded, spread, squeezed
from experiments.emq.settings import ALLOCATORS, EMQ, QUANTISERS, SCHEDULES, configured, parameters_of

CLIENTS, ROUNDS = 5, 3
SMALL = {"data.clients": CLIENTS, "task.cnn.hidden": 16}


def config_of(settings, **more):
    return configured("digits-skewed", 3, settings, SMALL, more, rounds=ROUNDS)


@pytest.fixture(scope="module")
def recordings():
    return {name: Recording.of(recorded(config_of(settings))) for name, settings in QUANTISERS.items()}


def test_what_is_noted_beside_a_run_does_not_change_it(recordings):
    for name, settings in QUANTISERS.items():
        config, scores = config_of(settings), []

        class Scores:
            def write(self, event, scores=scores):
                if event["event"] == "evaluate":
                    scores.append(event["metrics"]["accuracy-before"])

            def close(self):
                pass

        train(resolve(config), InlineGrid(client_app(resolve(config)), CLIENTS), observer=Scores())
        assert recordings[name].accuracy == pytest.approx(scores, abs=1e-5)


def test_float32_sends_32_bits_a_value_without_an_error(recordings):
    found, size = recordings["float32"], parameters_of(config_of(QUANTISERS["float32"]))
    assert found.parameters == size
    assert (found.paper == 32 * size).all()
    frame = np.unique(found.wire - found.paper)
    assert len(frame) == 1
    assert 0 < frame[0] < 8 * 64
    assert (found.error == 0).all()


def test_a_codec_that_keeps_its_error_target_has_such_errors_on_arrival(recordings):
    target = config_of(EMQ).codec.part.squared_error
    assert (recordings["EMQ"].error > 0).all()
    assert (recordings["EMQ"].error <= np.sqrt(target)).all()


def test_a_range_in_many_levels_has_less_error_than_one_in_few(recordings):
    assert (recordings["LAQ"].error < recordings["AQUILA"].error).all()
    assert (recordings["LAQ"].wire > recordings["AQUILA"].wire).all()


def test_jobs_are_those_of_the_data_and_of_the_settings(recordings):
    source = resolve(config_of(EMQ)).source
    for found in recordings.values():
        assert found.samples.tolist() == [len(source.partition(k).y_train) for k in range(CLIENTS)]
        assert (found.epochs == 2).all()
        assert found.accuracy.shape == (ROUNDS + 1,)
        assert found.wire.shape == found.paper.shape == (ROUNDS, CLIENTS)
        assert (found.loss > 0).all()


def test_clients_that_decide_when_to_stop_are_noted_with_the_epochs_they_made():
    config = config_of(EMQ, **SCHEDULES["clients stop"])
    found = Recording.of(recorded(config.replace({"scheduler.until-enough.most": 4})))
    assert found.epochs.min() >= 2
    assert found.epochs.max() <= 4


def test_the_radio_changes_nothing_of_a_recording(recordings):
    over = Recording.of(recorded(config_of({**QUANTISERS["AQUILA"], **ALLOCATORS["full power"]})))
    for name in ("accuracy", "loss", "error", "wire", "paper"):
        assert (getattr(over, name) == getattr(recordings["AQUILA"], name)).all()


@pytest.mark.parametrize("table", [[[3, 3], [3, 3]], [[1, 1], [2, 2]], [[1, 2], [3, 3]], [[1, 2], [3, 4]]])
def test_tables_of_whole_numbers_survive_being_squeezed(table):
    assert spread(squeezed(np.array(table)), (2, 2)).tolist() == table


def test_a_round_without_one_of_the_clients_is_no_recording():
    with pytest.raises(RunFailedError, match="expected all clients in all rounds"):
        _Notes(epochs=1).table(2, 3)
