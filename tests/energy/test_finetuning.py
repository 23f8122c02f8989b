import json
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.energy import FineTuningEnergy, Processors, fit_step_time
from eafl_flower.energy.finetuning import step_times
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.protocols import EnergyModel
from eafl_flower.types import Work

MODEL = FineTuningEnergy(seconds_per_step=0.02, seconds_per_rank=0.001, batch_size=16, power_w=10.0)
WORK = Work(num_examples=160, epochs=2, rank=30)
CLASSES = {"slowdown": (2.0, 1.0, 0.5), "power_w": (5.0, 10.0, 20.0)}


def test_the_model_is_an_energy_model():
    assert isinstance(MODEL, EnergyModel)


def test_a_job_takes_its_steps_times_the_line():
    # 160 rows twice are 20 batches of 16, each 0.02 s + 30 x 0.001 s
    assert MODEL.compute_time_s(WORK) == pytest.approx(20 * 0.05)
    assert MODEL.compute_energy_j(WORK) == pytest.approx(10 * 20 * 0.05)


def test_time_is_linear_in_rank_rows_epochs_and_slowdown():
    base = MODEL.compute_time_s(replace(WORK, rank=0))
    assert MODEL.compute_time_s(WORK) - base == pytest.approx(2 * (MODEL.compute_time_s(replace(WORK, rank=15)) - base))
    for change in ({"num_examples": 480}, {"epochs": 6}, {"slowdown": 3.0}):
        assert MODEL.compute_time_s(replace(WORK, **change)) == pytest.approx(3 * MODEL.compute_time_s(WORK))


def test_a_faster_board_takes_less_time_and_energy():
    fast = replace(MODEL, speed=4.0)
    assert fast.compute_time_s(WORK) == pytest.approx(MODEL.compute_time_s(WORK) / 4)
    assert fast.compute_energy_j(WORK) == pytest.approx(MODEL.compute_energy_j(WORK) / 4)


def test_energy_is_the_power_of_the_class_times_its_time():
    processors = Processors(energy=MODEL, **CLASSES)
    for client, (slowdown, power_w) in enumerate(zip(*CLASSES.values(), strict=True)):
        for same in (client, client + 3):
            phase = processors.compute(same, WORK)
            assert phase.time_s == pytest.approx(slowdown * MODEL.compute_time_s(WORK))
            assert phase.energy_j == pytest.approx(power_w * phase.time_s)


def test_without_powers_energy_is_what_the_model_says():
    phase = Processors(energy=MODEL, slowdown=(2.0,)).compute(0, WORK)
    assert phase.energy_j == MODEL.compute_energy_j(replace(WORK, slowdown=2.0))


@pytest.mark.parametrize(
    ("power_w", "message"),
    [((5.0, 10.0), "expected a power for each slowdown"), ((5.0, 0.0, 1.0), "expected positive numbers")],
)
def test_powers_that_do_not_fit_the_slowdowns_are_refused(power_w, message):
    with pytest.raises(ConfigError, match=message):
        Processors(slowdown=CLASSES["slowdown"], power_w=power_w)


def test_times_on_a_line_give_the_line():
    ranks = [4, 8, 16, 32, 64]
    line = fit_step_time(ranks, [0.01 + 0.0003 * rank for rank in ranks])
    assert (line.seconds_per_step, line.seconds_per_rank) == pytest.approx((0.01, 0.0003))
    assert line.residual == 0.0


def test_no_line_is_nearer_in_squares_than_the_fitted_one():
    ranks, seconds = np.array([4, 8, 16, 32, 64]), np.array([0.012, 0.011, 0.016, 0.019, 0.03])
    line = fit_step_time(ranks.tolist(), seconds.tolist())

    def squares(a, b):
        return float(np.sum((a + b * ranks - seconds) ** 2))

    best = squares(line.seconds_per_step, line.seconds_per_rank)
    for a, b in ((1e-4, 0.0), (-1e-4, 0.0), (0.0, 1e-5), (0.0, -1e-5)):
        assert squares(line.seconds_per_step + a, line.seconds_per_rank + b) > best
    worst = np.max(np.abs(line.seconds_per_step + line.seconds_per_rank * ranks - seconds) / seconds)
    assert line.residual == pytest.approx(worst, abs=1e-4)


@pytest.mark.parametrize(
    ("ranks", "seconds", "message"),
    [
        ([4], [0.1], "expected two different ranks"),
        ([4, 8], [0.1, 0.0], "each with a positive time"),
        ([4, 8], [0.1], "expected two different ranks"),
        ([4, 8], [0.2, 0.1], "measure again"),
        ([4, 8], [0.1, 0.3], "measure again"),
    ],
)
def test_times_that_no_line_can_stand_for_are_refused(ranks, seconds, message):
    with pytest.raises(ConfigError, match=message):
        fit_step_time(ranks, seconds)


@pytest.mark.parametrize("encoder", ["bert 4 x 128", "bert 6 x 384"])
def test_the_table_of_the_package_is_on_its_lines(encoder):
    model = FineTuningEnergy.measured(encoder)
    whole = FineTuningEnergy.measured(encoder, whole=True)
    one = Work(num_examples=model.batch_size, epochs=1)
    assert model.seconds_per_rank > 0
    assert whole.compute_time_s(replace(one, rank=64)) == whole.compute_time_s(one) > 0


def test_a_larger_encoder_takes_longer():
    small, large = (FineTuningEnergy.measured(name) for name in ("bert 4 x 128", "bert 6 x 384"))
    assert small.compute_time_s(WORK) < large.compute_time_s(WORK)


def test_a_table_of_ones_own_is_read(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"batch_size": 8, "encoders": {"mine": step_times({4: 0.014, 8: 0.018}, 0.05)}}))
    model = FineTuningEnergy.measured("mine", table=path, speed=2.0)
    assert (model.batch_size, model.speed) == (8, 2.0)
    assert (model.seconds_per_step, model.seconds_per_rank) == pytest.approx((0.01, 0.001))
    assert FineTuningEnergy.measured("mine", table=path, whole=True).seconds_per_step == 0.05


def test_an_encoder_that_was_not_measured_is_told_with_those_that_were():
    with pytest.raises(ConfigError, match='encoder "bert 1 x 1": the table has bert 4 x 128, bert 6 x 384; measure it'):
        FineTuningEnergy.measured("bert 1 x 1")


@pytest.mark.parametrize(
    "content", [None, "", "[]", '{"batch_size": 16}', '{"batch_size": 16, "encoders": {"bert 4 x 128": {}}}']
)
def test_a_table_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match="eafl encoder calibrate"):
        FineTuningEnergy.measured(table=path)


@pytest.mark.parametrize("name", ["seconds_per_step", "speed", "power_w", "batch_size"])
def test_a_parameter_that_is_not_positive_is_refused(name):
    with pytest.raises(ConfigError, match=name):
        replace(MODEL, **{name: 0})
