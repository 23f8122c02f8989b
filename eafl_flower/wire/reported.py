"""The numbers that a client reports, as many and with names as long as anybody would read."""

from collections.abc import Mapping
from typing import Any, Final

from eafl_flower.core.excerpt import excerpt
from eafl_flower.errors import ProtocolError
from eafl_flower.wire.notes import Notes
from eafl_flower.wire.records import NUM_EXAMPLES

MOST_METRICS: Final = 100  # of one reply, and of the means
MOST_NAME: Final = 128  # letters


def scores_of(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a record (not its lists) as floats.

    Raises
    ------
    ProtocolError
        If one is too large for a float.
    """
    try:
        return {k: float(v) for k, v in record.items() if isinstance(v, int | float)}
    except OverflowError as error:
        msg = f"a metric is too large for a floating point number: {error}"
        raise ProtocolError(msg) from error


def bounded_scores(
    record: Mapping[str, Any], whose: str, notes: Notes, weighted_by: str = NUM_EXAMPLES
) -> dict[str, float]:
    """Return the numbers of a client's record, without lists and without what exceeds the limits; a note tells of both.

    ``weighted_by`` is always kept.

    Raises
    ------
    ProtocolError
        If a number is too large for a float.
    """
    if lists := [name for name, value in record.items() if isinstance(value, list)]:
        notes.tell(
            "list",
            f'{whose} holds {len(lists)} lists, the first "{excerpt(lists[0])}": lists are left out, report one '
            "number under each name",
            len(lists),
        )
    numbers = {k: v for k, v in record.items() if not isinstance(v, list)}
    names = [name for name in numbers if name != weighted_by and len(name) <= MOST_NAME][: MOST_METRICS - 1]
    names += [weighted_by] if weighted_by in numbers else []
    if len(names) < len(numbers):
        notes.tell(
            "name",
            f"{whose} holds {len(numbers)} metrics: {len(numbers) - len(names)} are left out, at most {MOST_METRICS} "
            f"are kept, with names of at most {MOST_NAME} letters",
            len(numbers) - len(names),
        )
    return scores_of({name: numbers[name] for name in names})
