import numpy as np
import pytest
from cell_free_drops import gains_of_drops, uploads_of_drops

from eafl_flower.errors import ConfigError, RunFailedError
from eafl_flower.power import Uploads, min_max_latency

COMPUTATION_S = np.linspace(0.0, 0.2, 20)


@pytest.mark.parametrize("computation_s", [0.0, COMPUTATION_S])
def test_all_are_done_at_the_same_time_and_one_sends_with_full_power(computation_s):
    uploads = uploads_of_drops(10, 20, computation_s=computation_s)
    found = min_max_latency(uploads).certified()
    latencies = uploads.latencies_s(found.power)
    np.testing.assert_allclose(latencies, np.broadcast_to(found.objective[:, None], latencies.shape), rtol=1e-6)
    np.testing.assert_array_equal(found.power.max(axis=-1), 1.0)
    assert found.power.min() > 0


def test_no_powers_that_were_tried_are_quicker():
    uploads, rng = (
        uploads_of_drops(1, 10, seed=1, payload_bits=np.linspace(1e5, 2e6, 10)).drop(0),
        np.random.default_rng(2),
    )
    found = min_max_latency(uploads)
    for _ in range(300):
        near = np.clip(found.power * np.exp(rng.normal(0.0, 0.1, 10)), 0.0, 1.0)
        anywhere = np.exp(rng.uniform(-6.0, 0.0, 10))
        for power in (near, anywhere):
            assert uploads.latencies_s(power).max() >= found.objective * (1 - 1e-9)


def test_drops_together_are_drops_alone():
    uploads = uploads_of_drops(5, 12, seed=3, computation_s=0.05)
    together = min_max_latency(uploads)
    for i in range(5):
        alone = min_max_latency(uploads.drop(i))
        np.testing.assert_allclose(together.power[i], alone.power, rtol=1e-9)
        assert together.objective[i] == pytest.approx(float(alone.objective), rel=1e-12)


def test_twice_the_payload_takes_twice_as_long_with_the_same_powers():
    uploads = uploads_of_drops(3, 15, seed=4)
    once, twice = min_max_latency(uploads), min_max_latency(uploads_of_drops(3, 15, seed=4, payload_bits=2e6))
    np.testing.assert_allclose(twice.objective, 2 * once.objective, rtol=1e-9)
    np.testing.assert_allclose(twice.power, once.power, rtol=1e-6)


def test_one_user_sends_with_full_power():
    found = min_max_latency(uploads_of_drops(1, 1, seed=5))
    assert found.power.tolist() == [[1.0]]


def test_too_few_steps_are_told_and_not_used():
    found = min_max_latency(uploads_of_drops(2, 20, seed=6), most_iterations=2)
    assert not found.converged.any()
    with pytest.raises(RunFailedError, match="min-max-latency has not converged after 2 iterations"):
        found.certified()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"payload_bits": 0.0}, "user 0 has payload_bits = 0.0: expected a positive number of bits"),
        ({"payload_bits": np.array([1.0, np.nan, 1.0])}, "user 1 has payload_bits = nan"),
        ({"payload_bits": np.ones(4)}, r"payload_bits has shape \(4,\): expected \(1, 3\)"),
        ({"payload_bits": 1.0, "computation_s": -1.0}, "user 0 has computation_s = -1.0: expected seconds"),
    ],
)
def test_uploads_that_are_none_are_refused_in_one_line(change, message):
    with pytest.raises(ConfigError, match=message):
        Uploads(gains=gains_of_drops(1, 3), **change)
