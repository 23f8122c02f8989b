import numpy as np
import pytest

from eafl_flower.alignment import fit_whitening, no_whitening
from eafl_flower.alignment.steps import pilot_covariance
from eafl_flower.errors import ConfigError, DataError
from eafl_flower.radio.mimo import complex_normal


def drawn(size=6, n=50, seed=0):
    rng = np.random.default_rng(seed)
    return complex_normal((size, size), 1.0, rng) @ complex_normal((size, n), 1.0, rng) + 3.0


def test_whitened_samples_are_white_to_rounding():
    samples = drawn()
    white = fit_whitening(samples).apply(samples)
    np.testing.assert_allclose(white @ white.conj().T, 49 * np.eye(6), atol=1e-10)
    np.testing.assert_allclose(white.mean(axis=1), 0, atol=1e-12)
    assert pilot_covariance(white) is None


def test_dewhitened_samples_are_those_that_were_whitened():
    samples, others = drawn(), drawn(seed=1)
    whitening = fit_whitening(samples)
    np.testing.assert_allclose(whitening.undo(whitening.apply(others)), others, atol=1e-10)
    np.testing.assert_array_equal(no_whitening(6).undo(no_whitening(6).apply(others)), others)


def test_a_singular_covariance_is_regularised_and_comes_back():
    samples = np.concatenate([drawn(), np.full((2, 50), 5.0)])  # two units are constant
    whitening = fit_whitening(samples)
    covariance = np.cov(samples)
    loaded = covariance + 1e-6 * np.trace(covariance).real / 8 * np.eye(8)
    np.testing.assert_allclose(whitening.factor @ whitening.factor.conj().T, loaded, atol=1e-12 * np.abs(loaded).max())
    np.testing.assert_allclose(whitening.undo(whitening.apply(samples)), samples, atol=1e-8)
    np.testing.assert_allclose(whitening.apply(samples)[6:], 0, atol=1e-8)


@pytest.mark.parametrize("rows", [np.full((1, 50), 5.0), drawn()[:1]], ids=["constant", "twice"])
def test_a_singular_covariance_is_an_error_where_it_is_not_regularised(rows):
    with pytest.raises(DataError, match="of 50 samples of 7 dimensions is singular: take more samples"):
        fit_whitening(np.concatenate([drawn(), rows]), eps=0.0)


def test_fewer_samples_than_dimensions_are_regularised():
    samples = drawn(size=20, n=10)
    assert np.isfinite(fit_whitening(samples).apply(samples)).all()
    with pytest.raises(DataError, match="singular"):
        fit_whitening(samples, eps=0.0)


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (np.full((3, 4), np.nan, np.complex128), "not finite"),
        (np.full((3, 4), 2.0 + 0j), "all the same"),
        (np.ones((3, 1), np.complex128), "two samples or more"),
        (np.ones((0, 4), np.complex128), "two samples or more"),
    ],
)
def test_samples_that_have_no_covariance_are_refused(samples, told):
    with pytest.raises(DataError, match=told):
        fit_whitening(samples)


@pytest.mark.parametrize("eps", [-1.0, np.nan, np.inf])
def test_an_impossible_regularisation_is_refused(eps):
    with pytest.raises(ConfigError, match="eps = "):
        fit_whitening(drawn(), eps)


def test_samples_of_other_dimensions_are_refused():
    whitening = fit_whitening(drawn())
    for use in (whitening.apply, whitening.undo):
        with pytest.raises(DataError, match=r"samples are \(5, 50\): the whitening was fitted to \(6, n\)"):
            use(drawn()[:5])
