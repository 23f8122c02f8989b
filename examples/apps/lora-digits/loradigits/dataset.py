"""lora-digits: A Flower / PEFT app."""

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits

HELD_OUT = 200  # images of the digits 5 to 9 that no node has


@cache
def all_digits():
    """Load the images once in a process."""
    return load_digits(return_X_y=True)


def digits_of(which: range):
    """Return the images of some digits and which of them each shows, in an order drawn once."""
    images, digits = all_digits()
    chosen = np.random.default_rng(42).permutation(np.flatnonzero(np.isin(digits, which)))
    x = torch.tensor(images[chosen] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return x, torch.tensor(digits[chosen] - which.start)


def load_data(partition_id: int, num_partitions: int):
    """Load the partition of one node: images of the digits 5 to 9."""
    images, labels = digits_of(range(5, 10))
    mine = slice(HELD_OUT + partition_id, None, num_partitions)
    return images[mine], labels[mine]


def load_test_data():
    """Load the images that no node has."""
    images, labels = digits_of(range(5, 10))
    return images[:HELD_OUT], labels[:HELD_OUT]
