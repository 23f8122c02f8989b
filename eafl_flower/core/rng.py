"""Random generators that depend on what they are for, never on which worker ran first."""

import hashlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a generator that is a function of ``(seed, *purpose)`` alone.

    Parameters
    ----------
    seed
        Seed of the run.
    purpose
        What the numbers are for, for example ``("train", client, counter)``. Strings and integers
        are distinguished; different purposes give independent streams.

    Examples
    --------
    >>> a, b = generator(1, "train", 7), generator(1, "train", 7)
    >>> a.integers(1000) == b.integers(1000)
    np.True_
    """
    digest = hashlib.blake2b(repr((int(seed), *purpose)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(np.frombuffer(digest, "<u4")))
