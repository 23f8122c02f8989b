import pytest

from eafl_flower.energy import CMOSEnergy, computation_energy, computation_time_s, transmission_time_s
from eafl_flower.errors import ConfigError
from eafl_flower.protocols import EnergyModel
from eafl_flower.types import Work


def test_the_defaults_price_a_job_as_kappa_c_f_squared():
    # 12,000 cycles x 500 rows x 2 epochs = 1.2e7 cycles at 1 GHz: 12 ms, 1e-28 x 1.2e7 x 1e18 = 1.2 mJ
    model, work = CMOSEnergy(), Work(num_examples=500, epochs=2)
    assert model.compute_time_s(work) == pytest.approx(0.012)
    assert model.compute_energy_j(work) == pytest.approx(1.2e-3)


def test_the_model_is_an_energy_model():
    assert isinstance(CMOSEnergy(), EnergyModel)


def test_doubling_the_clock_halves_the_time_and_quadruples_the_energy():
    assert computation_energy(1e6, 2e9, 1e-28) == pytest.approx(4 * computation_energy(1e6, 1e9, 1e-28))
    assert computation_time_s(1e6, 2e9) == pytest.approx(computation_time_s(1e6, 1e9) / 2)


def test_a_slowdown_stretches_time_and_leaves_energy_alone():
    model, work, slow = CMOSEnergy(), Work(num_examples=9, epochs=1), Work(num_examples=9, epochs=1, slowdown=16.0)
    assert model.compute_time_s(slow) == pytest.approx(16 * model.compute_time_s(work))
    assert model.compute_energy_j(slow) == model.compute_energy_j(work)


def test_a_job_without_rows_costs_nothing():
    model, work = CMOSEnergy(), Work(num_examples=0, epochs=1)
    assert model.compute_time_s(work) == 0.0
    assert model.compute_energy_j(work) == 0.0


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["switched_capacitance_f", "cycles_per_sample", "frequency_hz"])
def test_a_parameter_that_is_not_positive_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} = {value}: expected a positive number"):
        CMOSEnergy(**{name: value})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: computation_energy(1.0, 0.0, 1e-28), "frequency_hz = 0.0: expected a finite number above 0"),
        (lambda: computation_energy(-1.0, 1e9, 1e-28), "cycles = -1.0: expected a finite number of at least 0"),
        (lambda: computation_time_s(1.0, 1e9, float("nan")), "slowdown = nan"),
        (lambda: transmission_time_s(1.0, 0.0), "rate_bit_s = 0.0"),
        (lambda: transmission_time_s(float("inf"), 1.0), "bits = inf"),
    ],
)
def test_arguments_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
