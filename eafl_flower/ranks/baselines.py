"""Selections to compare with. Each returns a place among the arms for every vehicle, -1 where none is available."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from eafl_flower.ranks.ucb_dual import BanditState, Choosing, Integers, Mask, select


def fixed(available: Mask, arm: int) -> Integers:
    """Return the same ``arm`` for all to whom it is available; the others wait."""
    return np.where(available[:, arm], arm, -1)


def at_random(available: Mask, rng: np.random.Generator) -> Integers:
    """Return an available arm for each vehicle, all alike probable."""
    draws = np.where(available, rng.random(available.shape), -1.0)
    return np.where(available.any(1), draws.argmax(1), -1)


def by_data(available: Mask, ranks: ArrayLike, num_examples: ArrayLike, *, mean_rank: float) -> Integers:
    """Return for each vehicle the largest available rank within its share, by its examples; the smallest if none is.

    The share is ``mean_rank`` times its examples over their mean.

    Parameters
    ----------
    available
        `(vehicles, arms)`.
    ranks
        Ranks of the arms, increasing `(arms,)`.
    num_examples
        Examples of each vehicle `(vehicles,)`.
    mean_rank
        What all ranks are to be on average, at most.
    """
    examples = np.asarray(num_examples, float)
    share = mean_rank * examples / examples.mean()
    fits = available & (np.asarray(ranks) <= share[:, None])
    last = available.shape[1] - 1 - fits[:, ::-1].argmax(1)
    smallest = np.where(available.any(1), available.argmax(1), -1)
    return np.where(fits.any(1), last, smallest)


def greedy(state: BanditState, available: Mask, vehicles: Integers | None = None) -> Integers:
    """Return the available arm of the largest mean reward, whatever it costs, once each was played."""
    free = replace(state, dual=np.zeros_like(state.dual))
    return select(free, available, Choosing(bonus=0.0), vehicles=vehicles)
