"""What a reply says: its size, the update in it, or why there is none. Replies are hostile input."""

import math
import re

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict

from eafl_flower.core.excerpt import excerpt, excerpts
from eafl_flower.engines.flower_internals import CODE_MOD_PRECONDITION
from eafl_flower.errors import ProtocolError, UpdateRefusedError
from eafl_flower.wire.notes import Notes
from eafl_flower.wire.records import (
    CODED,
    MOST_POWER_W,
    NUM_EXAMPLES,
    OWN_S,
    POWERS,
    REFUSED,
    STATE_LOST,
    TERMS,
    config_record,
    single_metric_record,
)
from eafl_flower.wire.reported import bounded_scores
from eafl_flower.wire.size import framed_bytes

MOST_WORDS = 1000
_MOST_READ = 100_000  # letters of a reason, from each end
_FLOWERS_WORDS = "ClientAppException occurred. Message: "
_ORDER = " Mods that work on arrays come after the one that decodes them: mods=[compression_mod(codec), ...]"
_ON_A_NODE = re.compile(r"<class '([\w.<>]+)'>:<'(.*)'>", re.DOTALL)  # how a node of a deployment tells an exception
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def sizes_of(content: RecordDict) -> tuple[int, int]:
    """Return the bytes of a reply's payload, or of its arrays' values, and those of all its records with framing."""
    coded = config_record(content, CODED)
    payload = coded.get("payload") if coded is not None else None
    if isinstance(payload, bytes):
        return len(payload), framed_bytes(content)
    arrays = (a for record in content.values() if isinstance(record, ArrayRecord) for a in record.values())
    return sum(_num_bytes(a) for a in arrays), framed_bytes(content)


def _num_bytes(array: FlowerArray) -> int:
    """Size of the values of an array without the header of its serialisation, as far as that can be believed."""
    try:
        size = math.prod(array.shape) * np.dtype(array.dtype).itemsize
    except Exception:  # np.dtype has many ways to dislike a name
        size = len(array.data)
    return min(max(size, 0), len(array.data))


def state_was_lost(content: RecordDict) -> bool:
    """Whether the client says that it had to start from a fresh state."""
    record = config_record(content, TERMS)
    return record is not None and record.get(STATE_LOST) is True


def own_seconds(content: RecordDict) -> float | None:
    """Return how long the node says that it was at work [s], None if it does not say, or nothing that can be."""
    record = config_record(content, TERMS)
    told = None if record is None else record.get(OWN_S)
    return told if isinstance(told, float) and 0 <= told < math.inf else None


def own_powers_w(content: RecordDict) -> dict[str, float]:
    """Return the powers that the node states [W] by ``POWERS``; those that cannot be are left out."""
    record = config_record(content, TERMS)
    told = {} if record is None else {key: record.get(key) for key in POWERS}
    return {key: power for key, power in told.items() if isinstance(power, float) and 0 <= power <= MOST_POWER_W}


def is_out_of_step(onto: int, content: RecordDict) -> bool:
    """Whether the client could not decode its arrays, because it does not hold the state ``onto`` they build on."""
    return onto > 0 and state_was_lost(content)


def agreed_payload(content: RecordDict, whose: str) -> bytes:
    """Return the payload in the reply to a coded job.

    Raises
    ------
    ProtocolError
        If the reply is not coded, or holds plain arrays beside.
    UpdateRefusedError
        If the client says that it has no update to send.
    """
    coded = config_record(content, CODED)
    if coded is None or any(isinstance(record, ArrayRecord) for record in content.values()):
        msg = (
            f'{whose} is not coded, its job was: expected the record "{CODED}" and no plain arrays, got '
            f"{excerpts(content)}; the ClientApp needs compression_mod with the codec of the server"
        )
        raise ProtocolError(msg)
    if isinstance(reason := coded.get(REFUSED), str):
        msg = f"{whose} has no update to send: {words_of(reason)}"
        raise UpdateRefusedError(msg)
    payload = coded.get("payload")
    if not isinstance(payload, bytes):
        msg = f'{whose} has a record "{CODED}" without payload bytes'
        raise ProtocolError(msg)
    return payload


def wrong_kind(whose: str, kind: str, expected: str, why: str) -> ProtocolError:
    """Return the error of a reply that is of another kind than the run's method takes, both named."""
    return ProtocolError(
        f"{whose} is a {kind} ({why}), expected a {expected}: the method of this run takes {expected}s"
    )


def metrics_of(content: RecordDict, whose: str, notes: Notes, weighted_by: str) -> tuple[dict[str, float], float]:
    """Return what the client reports of its training, and the weight of its update (of examples, a whole number).

    Raises
    ------
    ProtocolError
        If there is not exactly one MetricRecord with that weight.
    """
    metrics = bounded_scores(single_metric_record(content, whose, weighted_by), whose, notes, weighted_by)
    weight = metrics.pop(weighted_by)
    return metrics, int(weight) if weighted_by == NUM_EXAMPLES else weight


def reported(content: RecordDict, name: str) -> float | None:
    """Return one number that the client reports, None if there is none of this name."""
    found = (record.get(name) for record in content.values() if isinstance(record, MetricRecord))
    return next((number for number in found if isinstance(number, int | float)), None)


def reason_of(reply: Message | None) -> str:
    """Return why there is no result, in the client's own words if it has any."""
    if reply is None:
        return "no answer in time"
    words = words_of(reply.error.reason)
    order = _ORDER if reply.error.code == CODE_MOD_PRECONDITION and "found 0 ArrayRecord" in words else ""
    return f"error {reply.error.code}: {words}{order}"


def words_of(reason: str | None) -> str:
    """Return what the client said, in one line: of a traceback, the exception.

    Our engines begin with it, Flower's simulation puts it into a traceback of its own, with colours and
    quotes around, a node of a deployment puts it in quotes with its class, and a plain traceback ends with it.
    """
    text = reason or ""
    if len(text) > 2 * _MOST_READ:
        text = f"{text[:_MOST_READ]} … {text[-_MOST_READ:]}"
    text = _ANSI.sub("", text).strip()
    _, found, said = text.rpartition(_FLOWERS_WORDS)
    if found:
        text = said.removesuffix("'>")
    elif on_a_node := _ON_A_NODE.fullmatch(text):
        text = f"{on_a_node[1]}: {on_a_node[2]}"
    else:
        said, found, _ = text.partition("\nTraceback (most recent call last)")
        text = said if found else text.rpartition("\n")[2]
    return excerpt(" ".join(text.split()), MOST_WORDS) or "no reason given"
