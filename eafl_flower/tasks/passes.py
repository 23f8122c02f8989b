"""How many steps a local job makes in each of its passes over the rows."""

from eafl_flower.errors import DataError


def steps_per_pass(num_rows: int, batch_size: int, *, epochs: int | None, steps: int | None) -> list[int]:
    """Return the number of steps of each pass over ``num_rows`` rows, in order.

    A job is as long as ``epochs`` (complete passes, each of ``ceil(num_rows / batch_size)`` steps) or as
    ``steps`` says; in the second case the last pass may be cut short.

    Raises
    ------
    DataError
        If there are no rows.
    ValueError
        If not exactly one of ``epochs`` and ``steps`` is given.

    Examples
    --------
    >>> steps_per_pass(20, 16, epochs=None, steps=5)
    [2, 2, 1]
    """
    if num_rows == 0:
        msg = "a client has no training rows: give it some, or leave it out of training"
        raise DataError(msg)
    if (epochs is None) == (steps is None):
        msg = f"expected either epochs or steps, got epochs={epochs}, steps={steps}"
        raise ValueError(msg)
    batches = -(-num_rows // batch_size)
    if epochs is not None:
        return [batches] * epochs
    assert steps is not None
    full, rest = divmod(steps, batches)
    return [batches] * full + [rest] * (rest > 0)
