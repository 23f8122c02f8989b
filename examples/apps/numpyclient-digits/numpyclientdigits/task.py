"""numpyclient-digits: A Flower app with a NumPyClient."""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits


@cache
def all_digits():
    """Load the images once in a process."""
    return load_digits(return_X_y=True)


def get_weights():
    """Return the weights to start from, of a softmax regression: (64, 10) and (10,)."""
    return [np.zeros((64, 10), np.float32), np.zeros(10, np.float32)]


def load_data(partition_id: int, num_partitions: int):
    """Load the partition of one node: 80 % to train on, 20 % to test on."""
    images, digits = all_digits()
    mine = np.random.default_rng(42).permutation(len(digits))[partition_id::num_partitions]
    x, y = (images[mine] / 16).astype(np.float32), digits[mine]
    cut = int(0.8 * len(y))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def predict(weights, x):
    """Return the probabilities of ten digits."""
    logits = x @ weights[0] + weights[1]
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def train(weights, data, epochs, lr):
    """Train by gradient steps on batches of 16 and return the new weights and the mean loss."""
    x, y = data
    coef, intercept = (w.copy() for w in weights)
    losses = []
    for _ in range(epochs):
        for batch in np.array_split(np.random.default_rng().permutation(len(y)), max(1, len(y) // 16)):
            p = predict([coef, intercept], x[batch])
            losses.append(-np.log(p[np.arange(len(batch)), y[batch]] + 1e-9).mean())
            p[np.arange(len(batch)), y[batch]] -= 1
            coef -= lr * x[batch].T @ p / len(batch)
            intercept -= lr * p.mean(axis=0)
    return [coef, intercept], float(np.mean(losses))


def test(weights, data):
    """Return loss and accuracy on the test set."""
    x, y = data
    p = predict(weights, x)
    return float(-np.log(p[np.arange(len(y)), y] + 1e-9).mean()), float((p.argmax(axis=1) == y).mean())
