"""Adapters of two layers with a head, and what clients of any rank make of them."""

import numpy as np

from eafl_flower.core.orders import Order
from eafl_flower.core.rng import generator
from eafl_flower.types import Update

SHAPES = ((24, 20), (16, 30))
RANK, ALPHA = 6, 32.0


def initial(rank=RANK, dtype=np.float32, *, trained=False):
    """Factors as LoRA starts them, or trained ones, a matrix and a counter."""
    rng = generator(6, "initial", rank)
    arrays = []
    for d_in, d_out in SHAPES:
        arrays.append(rng.standard_normal((d_in, rank)) / np.sqrt(d_in))
        arrays.append(trained * rng.standard_normal((rank, d_out)))
    head = (rng.standard_normal((5, 3)), np.array(7))
    return (*(a.astype(dtype) for a in (*arrays, head[0])), head[1])


def update_of(aggregator, state, client=0, rank=0, *, size=0.3, base_version=None, num_examples=1.0, like=None):
    """The update of a client of this rank that started from a version, and moved its own way."""
    order = Order(rank=rank)
    base = aggregator.arrays(state, order) if like is None else like
    rng = generator(7, "update", client, state.version)
    delta = tuple(
        np.asarray(size * rng.standard_normal(b.shape), b.dtype) if b.dtype.kind == "f" else np.array(client)
        for b in base
    )
    version = state.version if base_version is None else base_version
    return Update(client=client, delta=delta, base=base, base_version=version, num_examples=num_examples, order=order)


def moved(update):
    return tuple(b + d for b, d in zip(update.base, update.delta, strict=True))
