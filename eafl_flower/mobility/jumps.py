"""Positions that no vehicle can have been at: jumps of a satellite receiver.

Of each vehicle the longest sequence of samples is kept in which no step needs more than the fastest speed. So one wild
sample is left out wherever it stands, first, last or amid the others, and what is kept never depends on it.
"""

import numpy as np

from eafl_flower.mobility.traces import Array, Booleans, Integers

_LOOK_BACK = 1000  # samples; wild ones in a row that can be bridged


def possible(time_s: Array, x_m: Array, y_m: Array, offsets: Integers, fastest_m_s: float) -> Booleans:
    """Return which samples are kept, ``(n,)``; at least one of each vehicle.

    Parameters
    ----------
    time_s, x_m, y_m, offsets
        Samples as in `traces.Traces`; times of a vehicle increase.
    fastest_m_s
        The fastest a vehicle goes in a straight line from one kept sample to the next [m/s].
    """
    keep = np.ones(len(time_s), np.bool_)
    step_m = np.hypot(np.diff(x_m), np.diff(y_m))
    breaks = step_m > fastest_m_s * np.diff(time_s)
    breaks[offsets[1:-1] - 1] = False
    first = np.searchsorted(offsets, np.flatnonzero(breaks), side="right") - 1
    for vehicle in np.unique(first):
        part = slice(offsets[vehicle], offsets[vehicle + 1])
        keep[part] = _longest(time_s[part], x_m[part], y_m[part], fastest_m_s)
    return keep


def _longest(time_s: Array, x_m: Array, y_m: Array, fastest_m_s: float) -> Booleans:
    """Return the longest sequence of samples of one vehicle; the earliest of equally long ones."""
    num_samples = len(time_s)
    length = np.ones(num_samples, np.int64)  # of the longest sequence that ends here
    before = np.full(num_samples, -1)
    breaks = np.hypot(np.diff(x_m), np.diff(y_m)) > fastest_m_s * np.diff(time_s)
    starts = [0, *(np.flatnonzero(breaks) + 1).tolist()]
    longest = 0
    for start, end in zip(starts, [*starts[1:], num_samples], strict=True):
        for place in range(start, end):
            if place > start and length[place - 1] >= longest:  # nobody has more to offer: so on to the end of the run
                count = end - place
                length[place:end] = length[place - 1] + 1 + np.arange(count)
                before[place:end] = np.arange(place - 1, end - 1)
                longest = int(length[end - 1])
                break
            low = max(0, place - _LOOK_BACK)
            reach_m = fastest_m_s * (time_s[place] - time_s[low:place])
            near = np.hypot(x_m[place] - x_m[low:place], y_m[place] - y_m[low:place]) <= reach_m
            if near.any():
                offered = np.where(near, length[low:place], 0)
                best = len(offered) - 1 - int(offered[::-1].argmax())  # the latest of equals
                length[place], before[place] = offered[best] + 1, low + best
            longest = max(longest, int(length[place]))
    keep = np.zeros(num_samples, np.bool_)
    place = int(length.argmax())
    while place >= 0:
        keep[place] = True
        place = int(before[place])
    return keep
