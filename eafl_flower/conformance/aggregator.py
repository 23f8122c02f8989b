"""What every aggregator must do, as one check to be called from a test."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from eafl_flower.core.orders import NO_ORDER
from eafl_flower.core.rng import generator
from eafl_flower.core.state import flatten, restore
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.protocols import Aggregator, MessageAggregator
from eafl_flower.types import Arrays, Layout, Update, digest, layout_of

DrawMessage = Callable[[np.random.Generator], Arrays]

_UPDATES = 40
_STOPS = (0, 1, 3, 17, 29)


def check_aggregator(
    aggregator: Aggregator[Any],
    arrays: Arrays | None = None,
    *,
    zero_update_is_neutral: bool = True,
    message: DrawMessage | None = None,
) -> None:
    """Assert that ``aggregator`` keeps the contract of ``protocols.Aggregator``, or of ``MessageAggregator``.

    Parameters
    ----------
    aggregator
        The aggregator; it is given many updates, so a fast configuration is kind.
    arrays
        Arrays to start from; by default matrices, a vector, a scalar and an empty array of float32 and
        float64. The first must be floating point and not empty, and so must that of a message.
    zero_update_is_neutral
        Whether a fresh update of zeros must leave the initial arrays as they are, bit for bit. Not so for
        rules with a pull of their own, weight decay for example.
    message
        Draws a message that a client may answer with, for aggregators that do not take arbitrary values
        (``ParticularAggregator``); by default any values of the expected layout.

    Raises
    ------
    AssertionError
        With what is wrong and what to change.
    """
    if arrays is None:
        rng = generator(0, "conformance", "aggregator")
        arrays = (
            rng.normal(size=(3, 4)).astype(np.float32),
            rng.normal(size=4),
            np.array(0.5, dtype=np.float32),
            np.zeros((0, 2), dtype=np.float32),
            rng.normal(size=(2, 3, 2)).astype(np.float32),
        )
    _check_init(aggregator, arrays)
    if zero_update_is_neutral:
        _check_zero_update(aggregator, arrays)
    _check_versions(aggregator, arrays, message)
    _check_refusals(aggregator, arrays, message)
    _check_rounds(aggregator, arrays, message)
    _check_inputs_are_left_alone(aggregator, arrays, message)
    _check_resume(aggregator, arrays, message)
    _check_consumption(aggregator, arrays, message)


def _check_init(aggregator: Aggregator[Any], arrays: Arrays) -> None:
    given = tuple(a.copy() for a in arrays)
    state = aggregator.init(given)
    for order in (None, NO_ORDER):
        now = aggregator.arrays(state, order)
        _expect(
            layout_of(now) == layout_of(arrays) and digest(now) == digest(arrays),
            f"arrays(init(arrays), {order}) differs from arrays: init must keep values, shapes and dtypes",
        )
    for array in given:
        array.fill(1)
    _expect(
        digest(_starts(aggregator, state)) == digest(arrays),
        "writing to the arrays given to init changed the state: init must copy them",
    )
    _expect(
        type(state.version) is int and state.version == 0,
        f"init gives version {state.version!r}: expected the int 0, the number of merges",
    )


def _check_zero_update(aggregator: Aggregator[Any], arrays: Arrays) -> None:
    state = aggregator.init(arrays)
    zeros = tuple(np.zeros(spec.shape, spec.dtype) for spec in _answered(aggregator, state))
    state = _merge(aggregator, state, _update(aggregator, state, state.version, zeros))
    _expect(
        digest(_starts(aggregator, state)) == digest(arrays),
        "a fresh update of zeros changed the arrays: if the rule moves them by itself, "
        "call check_aggregator(..., zero_update_is_neutral=False)",
    )


def _check_versions(aggregator: Aggregator[Any], arrays: Arrays, message: DrawMessage | None) -> None:
    versions = [0]
    _run(aggregator, aggregator.init(arrays), 0, _UPDATES, message, lambda state: versions.append(state.version))
    steps = {after - before for before, after in pairwise(versions)}
    _expect(
        steps <= {0, 1} and versions[-1] > 0,
        f"over {_UPDATES} updates the version went {versions}: it must grow by 1 with each merge, and only then",
    )


def _check_refusals(aggregator: Aggregator[Any], arrays: Arrays, message: DrawMessage | None) -> None:
    state = _run(aggregator, aggregator.init(arrays), 0, 5, message)
    good = _nth_update(aggregator, state, 5, message)
    first = good.delta[0]
    spoiled = {
        "with an array missing": good.delta[:-1],
        "with an array too many": (*good.delta, first),
        "with a wrong shape": (np.zeros((*first.shape, 2), dtype=first.dtype), *good.delta[1:]),
        "with a shape that broadcasts": (np.zeros((1, *first.shape), dtype=first.dtype), *good.delta[1:]),
    }
    for value in (np.nan, np.inf, -np.inf):
        for i, delta in enumerate(good.delta):
            if delta.dtype.kind == "f" and delta.size:
                bad = delta.copy()
                bad.reshape(-1)[-1] = value
                spoiled[f"with {value} in array {i}"] = (*good.delta[:i], bad, *good.delta[i + 1 :])
    updates = {f"an update {what}": replace(good, delta=delta) for what, delta in spoiled.items()}
    updates["an update from a future version"] = replace(good, base_version=state.version + 1)
    if good.kind == "message":
        updates["a difference"] = replace(good, kind="difference")
    else:
        updates["a message"] = replace(good, kind="message", base=None)
    before = _fingerprint(state)
    for what, update in updates.items():
        _expect(
            _raises(UpdateRefusedError, partial(aggregator.apply, state, [update])),
            f"{what} was not refused: raise UpdateRefusedError before anything is written",
        )
        _expect(_fingerprint(state) == before, f"{what} changed the state: check everything before writing")
    _merge(aggregator, state, good)


def _check_rounds(aggregator: Aggregator[Any], arrays: Arrays, message: DrawMessage | None) -> None:
    """Check that a round of several is merged as one and each of its updates told of, or that rounds are refused."""
    state = aggregator.init(arrays)
    updates = [replace(_nth_update(aggregator, state, n, message), client=n, base_version=0) for n in range(3)]
    try:
        after, told = aggregator.apply(state, updates)
    except ConfigError:
        return
    _expect(after.version in (0, 1), f"a round of 3 updates made {after.version} merges: it is one, or part of one")
    _expect(
        len(told) in (0, len(updates)),
        f"apply told of {len(told)} of {len(updates)} updates: tell of each, in their order, or of none",
    )


def _check_inputs_are_left_alone(aggregator: Aggregator[Any], arrays: Arrays, message: DrawMessage | None) -> None:
    state = aggregator.init(arrays)
    update = _nth_update(aggregator, state, 0, message)
    given = (*update.delta, *(update.base or ()))
    before = digest(given)
    for array in given:
        array.flags.writeable = False
    state = _merge(aggregator, state, update)
    after_one = digest(_starts(aggregator, state))
    _expect(digest(given) == before, "apply wrote to the update: treat its arrays as read-only")
    strided = replace(update, delta=tuple(np.asarray(d.T.copy().T) for d in update.delta))
    state = _merge(aggregator, aggregator.init(arrays), strided)
    _expect(
        digest(_starts(aggregator, state)) == after_one,
        "the same update in another memory order gave other arrays: do not rely on contiguous deltas",
    )


def _check_resume(aggregator: Aggregator[Any], arrays: Arrays, message: DrawMessage | None) -> None:
    undisturbed = _fingerprint(_run(aggregator, aggregator.init(arrays), 0, _UPDATES, message))
    for stop in _STOPS:
        state = _run(aggregator, aggregator.init(arrays), 0, stop, message)
        stored, tree = flatten(state)
        copies = {name: array.copy() for name, array in stored.items()}
        for array in copies.values():
            array.flags.writeable = False  # as from a file that is mapped into memory
        restored = restore(aggregator.init(arrays), copies, json.loads(json.dumps(tree)))
        _expect(
            _fingerprint(restored) == _fingerprint(state),
            f"restore(flatten(state)) after {stop} updates is another state: "
            "hold arrays, numbers, strings, tuples and nested dataclasses only",
        )
        _expect(
            _fingerprint(_run(aggregator, restored, stop, _UPDATES, message)) == undisturbed,
            f"a run restored after {stop} updates ended differently from one never stopped: "
            "everything that matters must be in the state",
        )


def _check_consumption(aggregator: Aggregator[Any], arrays: Arrays, message: DrawMessage | None) -> None:
    # An old state may be refused, or may still give what it gave; silently other arrays are the error.
    old = _run(aggregator, aggregator.init(arrays), 0, 3, message)
    held = digest(_starts(aggregator, old))
    update = _nth_update(aggregator, old, 3, message)
    once = digest(_starts(aggregator, _merge(aggregator, old, update)))
    advice = "mark a state as used in apply (see aggregation.acceptance.begin) or copy the arrays"
    try:
        again = digest(_starts(aggregator, _merge(aggregator, old, update)))
    except RuntimeError:
        again = once
    _expect(again == once, f"apply on a state that apply had consumed merged into other arrays: {advice}")
    try:
        seen = digest(_starts(aggregator, old))
    except RuntimeError:
        seen = held
    _expect(seen == held, f"arrays() of a state that apply had consumed are not that state's arrays: {advice}")


def _merge(aggregator: Aggregator[Any], state: Any, update: Update) -> Any:
    after, told = aggregator.apply(state, [update])
    _expect(len(told) <= 1, f"apply told of {len(told)} updates, it was given one")
    return after


def _starts(aggregator: Aggregator[Any], state: Any) -> Arrays:
    return aggregator.arrays(state, NO_ORDER)


def _run(
    aggregator: Aggregator[Any],
    state: Any,
    start: int,
    stop: int,
    message: DrawMessage | None,
    watch: Callable[[Any], None] = lambda _: None,
) -> Any:
    for n in range(start, stop):
        state = _merge(aggregator, state, _nth_update(aggregator, state, n, message))
        watch(state)
    return state


def _nth_update(aggregator: Aggregator[Any], state: Any, n: int, message: DrawMessage | None) -> Update:
    """Update ``n`` of a fixed stream: 5 clients, staleness up to 3, now and then a long one."""
    rng = generator(1, "conformance", "aggregator", n)
    size = 100.0 if n % 13 == 12 else 0.1
    drawn = None if message is None else message(rng)
    delta = drawn or tuple(
        np.asarray(
            size * rng.normal(size=spec.shape) if spec.dtype[0] == "f" else rng.integers(1, 9, size=spec.shape),
            spec.dtype,
        )
        for spec in _answered(aggregator, state)
    )
    return _update(aggregator, state, max(0, state.version - n % 4), delta, client=n % 5, num_examples=1 + n % 7)


def _answered(aggregator: Aggregator[Any], state: Any) -> Layout:
    """Return the layout of what clients answer."""
    if isinstance(aggregator, MessageAggregator):
        return aggregator.expected(state, NO_ORDER)[1]
    return layout_of(_starts(aggregator, state))


def _update(
    aggregator: Aggregator[Any], state: Any, version: int, delta: Arrays, *, client: int = 0, num_examples: int = 8
) -> Update:
    update = Update(client=client, delta=delta, base_version=version, num_examples=num_examples)
    if isinstance(aggregator, MessageAggregator):
        return replace(update, kind="message")
    return replace(update, base=tuple(b.copy() for b in _starts(aggregator, state)))


def _fingerprint(state: Any) -> str:
    arrays, tree = flatten(state)
    return json.dumps([tree, digest([arrays[name] for name in sorted(arrays)])])


def _raises(error: type[Exception], action: Callable[[], Any]) -> bool:
    try:
        action()
    except error:
        return True
    return False


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
