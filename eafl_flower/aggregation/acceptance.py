"""What an update must be to be merged, and who may merge into a state.

Aggregators merge in place, so a state is used up by ``apply``. Beside its arrays a state therefore
carries a ``clock``, one integer array that all states of one stream share: it counts the merges that
the arrays hold. A state whose own count differs has been used up (or its merge was interrupted), and
using it again raises ``ConsumedStateError`` instead of giving other arrays than it says.
"""

import math
from dataclasses import dataclass

import numpy as np

from eafl_flower.aggregation.early_norms import fresh_norm
from eafl_flower.aggregation.merge import squared_norm, squared_norms
from eafl_flower.errors import ConsumedStateError, UpdateRefusedError
from eafl_flower.types import Array, Arrays, Layout, Update, layout_of

_CACHE_LINE_BYTES = 64
_TIMES_MODEL = 2.0**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """An update that passed: deltas in the arrays' dtypes and memory order, and what was measured.

    ``lengths`` are the L2 norms of its arrays, 0 for integers; ``norm`` is that of all together.
    """

    deltas: Arrays
    lengths: tuple[float, ...]
    norm: float
    staleness: int


def accept(arrays: Arrays, update: Update, *, version: int, into_model: bool = True) -> Accepted:
    """Check ``update`` against the arrays it is to be merged into; changes nothing.

    Parameters
    ----------
    arrays
        The global arrays.
    update
        The update. A delta of another dtype is converted if that keeps its kind (float64 to float32,
        int32 to int64, integers to floats), before values are checked.
    version
        Number of merges in ``arrays``.
    into_model
        Whether ``arrays`` are a model; of a sum of updates only shapes and dtypes are looked at.

    Raises
    ------
    UpdateRefusedError
        If the number of arrays, a shape or the kind of a dtype differs, a value is not finite (or too
        large to be squared), the norm is so large that merges could overflow (2**60, for float16 a
        sixteenth of its largest number) or 2**30 times that of the model, a boolean array changes, the base version
        lies in the future, the number of examples is negative, or the update is a message.
    """
    who = f"update of client {update.client}"
    if update.kind != "difference":
        msg = f"{who} is a {update.kind}, expected a difference: the method of this run adds differences up"
        raise UpdateRefusedError(msg)
    if len(update.delta) != len(arrays):
        msg = f"{who} has {len(update.delta)} arrays, expected {len(arrays)}: is the client's model another one?"
        raise UpdateRefusedError(msg)
    _check_counts(update, who, version)
    deltas = tuple(
        _converted(f"{who}: array {i}", np.asarray(delta), array)  # a difference of 0-d arrays is a scalar
        for i, (delta, array) in enumerate(zip(update.delta, arrays, strict=True))
    )
    if flipped := [i for i, d in enumerate(deltas) if d.dtype.kind == "b" and d.any()]:
        msg = f"{who} changes boolean array {flipped[0]}, which cannot be averaged: leave it as it is, or send integers"
        raise UpdateRefusedError(msg)
    squares = squared_norms(deltas)
    norm = math.sqrt(total) if math.isfinite(total := sum(squares)) else math.inf
    if math.isfinite(norm) and norm > (limit := _largest_norm(arrays, norm, into_model=into_model)):
        msg = f"{who} has norm {norm:.3g}, more than any training makes ({limit:.3g}): it would spoil the model"
        raise UpdateRefusedError(msg)
    if not math.isfinite(norm):
        bad = next((f"array {i}" for i, square in enumerate(squares) if not math.isfinite(square)), "all arrays")
        msg = f"{who} is not finite: NaN, infinite or far too large values in {bad}; did training diverge?"
        raise UpdateRefusedError(msg)
    lengths = tuple(map(math.sqrt, squares))
    return Accepted(deltas=deltas, lengths=lengths, norm=norm, staleness=version - update.base_version)


def accept_message(update: Update, layout: Layout, *, version: int) -> None:
    """Check a message against what was expected; changes nothing.

    Parameters
    ----------
    update
        The update.
    layout
        Shapes and dtypes that its arrays must have.
    version
        Number of merges in the state that it is for.

    Raises
    ------
    UpdateRefusedError
        If the update is no message, its arrays have another layout or are not finite, its base version lies in the
        future, or its number of examples is negative.
    """
    who = f"update of client {update.client}"
    if update.kind != "message":
        raise UpdateRefusedError(f"{who} is a {update.kind}, expected a message: the method of this run takes messages")
    if (found := layout_of(update.delta)) != layout:
        raise UpdateRefusedError(f"{who} has arrays {_some(found)}, expected {_some(layout)}")
    _check_counts(update, who, version)
    bad = [i for i, a in enumerate(update.delta) if a.dtype.kind == "f" and not np.isfinite(a).all()]
    if bad:
        raise UpdateRefusedError(f"{who} is not finite: NaN or infinite values in array {bad[0]}")


def _some(layout: Layout, most: int = 8) -> str:
    shown = ", ".join(f"{spec.dtype} {spec.shape}" for spec in layout[:most])
    return shown + (f" and {len(layout) - most} more" if len(layout) > most else "")


def _check_counts(update: Update, who: str, version: int) -> None:
    if update.base_version > version:
        msg = f"{who} is based on version {update.base_version}, but the newest is {version}"
        raise UpdateRefusedError(msg)
    if update.num_examples < 0:
        msg = f"{who} counts {update.num_examples} examples, expected 0 or more"
        raise UpdateRefusedError(msg)


def _largest_norm(arrays: Arrays, norm: float, *, into_model: bool) -> float:
    """Return a norm that no honest update has and that no number of merges adds up to an overflow."""
    largest = min((float(np.finfo(a.dtype).max) for a in arrays if a.dtype.kind == "f"), default=math.inf)
    limit = min(2.0**60, largest / 16)
    if into_model and norm > _TIMES_MODEL:  # rare: the model is read for such an update only
        model = math.sqrt(total) if math.isfinite(total := squared_norm(arrays)) else math.inf
        limit = min(limit, _TIMES_MODEL * max(1.0, model, fresh_norm(arrays)))
    return limit


def _converted(where: str, delta: Array, array: Array) -> Array:
    if delta.shape != array.shape:
        msg = f"{where} has shape {delta.shape}, expected {array.shape}: is the client's model another one?"
        raise UpdateRefusedError(msg)
    if delta.dtype == array.dtype:
        return delta
    if not np.can_cast(delta.dtype, array.dtype, casting="same_kind"):
        msg = f"{where} has dtype {delta.dtype.name}, expected {array.dtype.name}"
        raise UpdateRefusedError(msg)
    with np.errstate(over="ignore"):  # becomes infinite and is refused as such
        return delta.astype(array.dtype)


def base_of(arrays: Arrays, update: Update) -> Arrays:
    """Return what the client of ``update`` started from, for rules that need the client's arrays, base + delta.

    Raises
    ------
    ValueError
        If the update has no base.
    UpdateRefusedError
        If its base has another layout than ``arrays``.
    """
    if update.base is None:
        msg = f"update of client {update.client} has no base, and this rule needs the client's arrays, base + delta"
        raise ValueError(msg)
    base = tuple(np.asarray(b) for b in update.base)
    if layout_of(base) != layout_of(arrays):
        msg = f"update of client {update.client} started from arrays {layout_of(base)}, expected {layout_of(arrays)}"
        raise UpdateRefusedError(msg)
    return base


def own(arrays: Arrays) -> Arrays:
    """Return copies that a state may merge into.

    Raises
    ------
    ValueError
        If a dtype is neither floating point (16, 32 or 64 bit) nor integer nor boolean.
    """
    for i, array in enumerate(arrays):
        if array.dtype.kind not in "iufb" or array.dtype.itemsize > 8:
            msg = f"array {i} has dtype {array.dtype.name}: expected float16, float32, float64, integers or booleans"
            raise ValueError(msg)
    return tuple(_aligned_copy(a) for a in arrays)


def _aligned_copy(array: Array) -> Array:
    # Numpy allocates at 16 bytes; vector stores across cache lines cost a large merge a tenth of its time.
    room = np.empty(array.nbytes + _CACHE_LINE_BYTES, dtype=np.uint8)
    start = -room.ctypes.data % _CACHE_LINE_BYTES
    copy = room[start : start + array.nbytes].view(array.dtype.newbyteorder("=")).reshape(array.shape)
    copy[...] = array
    return copy


def new_clock() -> Array:
    """Return the clock of a stream without merges."""
    return np.zeros(1, dtype=np.int64)


def check_current(clock: Array, merges: int) -> None:
    """Raise ``ConsumedStateError`` unless ``clock`` stands at ``merges``, the count of the state asked for."""
    if clock[0] != merges:
        msg = (
            f"this state stands at merge {merges}, its arrays at {int(clock[0])}: apply() has consumed it; "
            "go on with the state that apply() returned, and copy arrays that must outlive a merge"
        )
        raise ConsumedStateError(msg)


def begin(clock: Array, *groups: Arrays) -> tuple[Array, tuple[Arrays, ...]]:
    """Use up a state: advance its clock, return clock and arrays to write to.

    From here on the old state is an error to use, also if the merge is interrupted half-way. Arrays that
    cannot be written in place (a checkpoint mapped read-only) are copied, with the clock, once.
    """
    usable = clock.flags.writeable and all(a.flags.carray for group in groups for a in group)
    if not usable:
        clock, groups = clock.copy(), tuple(own(group) for group in groups)
    clock += 1
    return clock, groups
