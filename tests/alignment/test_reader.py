import numpy as np
import pytest

from eafl_flower.alignment.reader import fit_reader
from eafl_flower.errors import DataError


def test_a_reader_is_the_ridge_fit_to_unit_vectors():
    rng = np.random.default_rng(0)
    latents, labels = rng.normal(size=(5, 40)) + 1.0, rng.integers(3, size=40)
    reader = fit_reader(latents, labels, 3, ridge=0.1)
    # the same as least squares with the penalty as rows of data, of centred latents and targets
    centred = latents - latents.mean(axis=1, keepdims=True)
    targets = np.eye(3)[:, labels]
    pull = 0.1 * np.trace(centred @ centred.T / 40) / 5
    rows = np.vstack([centred.T / np.sqrt(40), np.sqrt(pull) * np.eye(5)])
    right = np.vstack([(targets - targets.mean(axis=1, keepdims=True)).T / np.sqrt(40), np.zeros((5, 3))])
    np.testing.assert_allclose(reader.weights, np.linalg.lstsq(rows, right, rcond=None)[0].T, atol=1e-10)
    scores = reader.weights @ latents + reader.bias
    np.testing.assert_allclose(scores.mean(axis=1), targets.mean(axis=1), atol=1e-12)
    np.testing.assert_array_equal(reader(latents), scores.argmax(axis=0))


def test_a_reader_tells_classes_apart_that_are_apart():
    labels = np.arange(90) % 3
    latents = np.eye(4)[:, labels] + 0.01 * np.random.default_rng(0).normal(size=(4, 90))
    assert (fit_reader(latents, labels, 3)(latents) == labels).all()


def test_latents_that_say_nothing_are_read_as_the_usual_class():
    assert (fit_reader(np.ones((2, 5)), np.array([1, 1, 1, 0, 2]), 3)(np.ones((2, 4))) == 1).all()


@pytest.mark.parametrize(
    ("latents", "labels", "words"),
    [
        (np.ones((2, 5)), np.zeros(4, int), "5 latents and 4 labels"),
        (np.ones((2, 0)), np.zeros(0, int), "one at least"),
        (np.ones((2, 2)), np.array([0, 3]), "expected classes from 0 to 2"),
        (np.ones((2, 2)), np.array([-1, 2]), "expected classes from 0 to 2"),
    ],
)
def test_labels_that_do_not_fit_are_refused(latents, labels, words):
    with pytest.raises(DataError, match=words):
        fit_reader(latents, labels, 3)
