"""The numbers that a client reports, as many and with names as long as anybody would read.

Among them what its codec counts: the bits of an upload in the way of the codec's paper, and the relative L2 error of
what the server decodes. Only the client knows them; nothing is charged or merged by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flwr.app import RecordDict

from eafl_flower.core.excerpt import excerpt
from eafl_flower.errors import ProtocolError
from eafl_flower.types import Layout
from eafl_flower.wire.notes import Notes
from eafl_flower.wire.records import CODED, NUM_EXAMPLES, TOLD, config_record

MOST_METRICS: Final = 100  # of one reply, and of the means
MOST_NAME: Final = 128  # letters
MOST_BITS: Final = 64  # a paper counts for one element of any dtype, beside what was sent
MOST_ERROR: Final = 1e6  # one bit a value errs by the square root of their number


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Coding:
    """How an upload of ``num_values`` floating values was coded: ``bits_paper`` and ``error`` as its client tells."""

    num_values: int
    bits_paper: int | None = None
    error: float | None = None

    def fields(self) -> dict[str, int | float]:
        """Return the fields of an event, as far as they are known."""
        told = {"num_values": self.num_values, "bits_paper": self.bits_paper, "codec_error": self.error}
        return {name: value for name, value in told.items() if value is not None}


def coding_of(content: RecordDict, layout: Layout, whose: str, notes: Notes) -> Coding | None:
    """Return what a reply with arrays of this ``layout`` tells of its coding, None if it is not coded.

    A client need not tell. What no codec can have counted is left out; a note tells.
    """
    record = config_record(content, CODED)
    payload = record.get("payload") if record is not None else None
    if record is None or not isinstance(payload, bytes):
        return None
    num_values = sum(spec.size for spec in layout if spec.dtype.startswith("float"))
    told = record.get(TOLD)
    if told is None:
        return Coding(num_values=num_values)
    most_bits = MOST_BITS * sum(spec.size for spec in layout) + 8 * len(payload)
    numbers = [n for n in told if isinstance(n, float)] if isinstance(told, list) and len(told) == 2 else []
    if len(numbers) == 2 and 0 <= numbers[0] <= most_bits and 0 <= numbers[1] <= MOST_ERROR:  # not so for NaN
        return Coding(num_values=num_values, bits_paper=round(numbers[0]), error=numbers[1])
    notes.tell(
        "coding",
        f"{whose} tells {excerpt(told)} of its coding: expected a count of bits up to {most_bits} and a relative error "
        f"up to {MOST_ERROR:g}; it is left out",
    )
    return Coding(num_values=num_values)
