import tomllib

import pytest

from eafl_flower.app.calibration import calibrate
from eafl_flower.config import RunConfig


def measured(durations_s, **changes):
    times = iter(t for d in durations_s for t in (0.0, d))
    given = {"task": "tabular", "num_examples": 40, "steps": 4, "frequency_hz": 2e9, "repeats": len(durations_s)}
    return calibrate(lambda: None, **given | changes, clock=lambda: next(times))


def test_a_second_at_a_hertz_is_a_cycle():
    result = measured([4e-4, 9.0, 2e-4, 1e-4, 5e-4])
    assert result.seconds_per_step == pytest.approx(1e-4)  # the median pass takes 4e-4 s
    assert result.seconds_per_sample == pytest.approx(1e-5)
    assert result.cycles_per_sample == pytest.approx(20_000)


def test_the_file_is_a_configuration():
    config = RunConfig().replace({"energy.cycles-per-sample": 1.0})
    flat = tomllib.loads(measured([4e-4]).to_toml())
    assert config.replace({f"energy.{k}": v for k, v in flat["energy"].items()}).energy.cycles_per_sample == 20_000


def test_the_hash_is_that_of_the_measurement():
    assert measured([4e-4]).to_toml() == measured([4e-4]).to_toml()
    assert measured([4e-4]).to_toml().split("sha256")[1] != measured([5e-4]).to_toml().split("sha256")[1]
