"""sklearn-digits: A Flower / scikit-learn app."""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression


@cache
def all_digits():
    """Load the images once in a process."""
    return load_digits(return_X_y=True)


def load_data(partition_id: int, num_partitions: int):
    """Load the partition of one node: 80 % to train on, 20 % to test on."""
    images, digits = all_digits()
    mine = np.random.default_rng(42).permutation(len(digits))[partition_id::num_partitions]
    x, y = images[mine] / 16, digits[mine]
    cut = int(0.8 * len(y))
    return x[:cut], x[cut:], y[:cut], y[cut:]


def get_model(local_epochs: int):
    """Create a logistic regression that goes on from the parameters it has."""
    return LogisticRegression(max_iter=local_epochs, warm_start=True)


def get_model_params(model):
    """Return the parameters of a model."""
    return [model.coef_, model.intercept_]


def set_model_params(model, params):
    """Set the parameters of a model."""
    model.coef_, model.intercept_ = params
    return model


def set_initial_params(model):
    """Set initial parameters: there are none before the first fit, but the server needs some."""
    n_classes, n_features = 10, 64
    model.classes_ = np.arange(n_classes)
    model.coef_ = np.zeros((n_classes, n_features))
    model.intercept_ = np.zeros((n_classes,))
