"""Where roadside units stand: on a grid over the traffic, or where its samples gather."""

import numpy as np

from eafl_flower.errors import ConfigError
from eafl_flower.mobility.traces import Array, Traces

_TAIL = 0.01  # of the samples on each side that do not stretch the grid
_MOST_SAMPLES = 20_000
_ROUNDS = 100


def grid_units(traces: Traces, columns: int, rows: int) -> Array:
    """Return the centres of a grid over the traffic [m], ``(columns * rows, 2)``, from west to east, south to north.

    It spans 98 % of the samples in each direction.

    Raises
    ------
    ConfigError
        If a number is below 1.
    """
    if min(columns, rows) < 1:
        msg = f"a grid of {columns} x {rows} units: expected at least 1 x 1"
        raise ConfigError(msg)
    ticks = [
        low + (np.arange(number) + 0.5) * (high - low) / number
        for number, (low, high) in zip((columns, rows), _span(traces), strict=True)
    ]
    units_m: Array = np.stack(np.meshgrid(*ticks, indexing="xy"), axis=-1).reshape(-1, 2)
    return units_m


def k_means_units(traces: Traces, number: int, rng: np.random.Generator) -> Array:
    """Return ``number`` centres that the samples are near to [m], ``(number, 2)``: k-means from k-means++.

    Lloyd, "Least squares quantization in PCM", IEEE Trans. Information Theory 28(2), 1982; Arthur and Vassilvitskii,
    "k-means++: the advantages of careful seeding", SODA 2007. Of very many samples it takes a random part.

    Raises
    ------
    ConfigError
        If ``number`` is below 1 or above the number of different positions.
    """
    points_m = np.stack([traces.x_m, traces.y_m], axis=1)
    if len(points_m) > _MOST_SAMPLES:
        points_m = points_m[rng.choice(len(points_m), _MOST_SAMPLES, replace=False)]
    different = len(np.unique(points_m, axis=0))
    if not 1 <= number <= different:
        msg = f"{number} units: expected from 1 to {different:,}, the number of different positions of vehicles"
        raise ConfigError(msg)
    centres_m = _spread(points_m, number, rng)
    for _ in range(_ROUNDS):
        own = _squares(points_m, centres_m).argmin(axis=1)
        count = np.bincount(own, minlength=number)
        sums_m = np.stack([np.bincount(own, points_m[:, axis], minlength=number) for axis in range(2)], axis=1)
        moved_m = np.where(count[:, None] > 0, sums_m / np.maximum(count, 1)[:, None], centres_m)
        if np.array_equal(moved_m, centres_m):
            break
        centres_m = moved_m
    return centres_m


def _spread(points_m: Array, number: int, rng: np.random.Generator) -> Array:
    centres_m: Array = points_m[rng.integers(len(points_m), size=1)]
    square = np.full(len(points_m), np.inf)
    while len(centres_m) < number:
        square = np.minimum(square, _squares(points_m, centres_m[-1:])[:, 0])
        chosen = rng.choice(len(points_m), size=1, p=square / square.sum())
        centres_m = np.concatenate([centres_m, points_m[chosen]])
    return centres_m


def _squares(points_m: Array, centres_m: Array) -> Array:
    squares: Array = ((points_m[:, None, :] - centres_m[None]) ** 2).sum(axis=-1)
    return squares


def _span(traces: Traces) -> list[tuple[float, float]]:
    edges = [np.quantile(values, (_TAIL, 1 - _TAIL)) for values in (traces.x_m, traces.y_m)]
    return [(float(low), float(high)) for low, high in edges]
