"""What a reply says: its size, the update in it, or why there is none. Replies are hostile input."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, Message, RecordDict

from eafl_flower.codecs.lqgcm.codec import keyed_for
from eafl_flower.core.arrays import difference
from eafl_flower.core.excerpt import excerpt, excerpts
from eafl_flower.engines.flower_internals import CODE_MOD_PRECONDITION
from eafl_flower.errors import ProtocolError, UpdateRefusedError
from eafl_flower.protocols import Codec
from eafl_flower.runs.jobs import Job
from eafl_flower.types import Arrays, Layout, Update
from eafl_flower.wire.downlink import Base
from eafl_flower.wire.notes import Notes
from eafl_flower.wire.records import (
    CODED,
    NUM_EXAMPLES,
    REFUSED,
    STATE_LOST,
    TERMS,
    arrays_by_name,
    config_record,
    single_array_record,
    single_metric_record,
)
from eafl_flower.wire.reported import bounded_scores
from eafl_flower.wire.size import framed_bytes

MOST_WORDS = 1000
_MOST_READ = 100_000  # letters of a reason, from each end
_FLOWERS_WORDS = "ClientAppException occurred. Message: "
_ORDER = " Mods that work on arrays come after the one that decodes them: mods=[compression_mod(codec), ...]"
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


def is_out_of_step(job: Job, content: RecordDict) -> bool:
    """Whether the client could not decode its arrays, because it does not hold what they build on."""
    return job.onto > 0 and state_was_lost(content)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a reply holds; ``decoder`` is the state its payload leaves, None if there was none."""

    update: Update
    metrics: dict[str, float]
    decoder: Any


class UpdateReader:
    """Turns replies into updates.

    Parameters
    ----------
    keys, layout
        Names and layout of the arrays of the model.
    codec
        The codec of the run, None for plain arrays.
    notes
        Tell of metrics that are left out.
    seed
        Seed of the run.
    weighted_by
        The metric that is the weight of an update.
    """

    def __init__(
        self,
        keys: list[str],
        layout: Layout,
        codec: Codec[Any] | None,
        notes: Notes,
        seed: int = 0,
        weighted_by: str = NUM_EXAMPLES,
    ) -> None:
        self._keys, self._codec, self._notes = keys, codec, notes
        self._seed, self._weighted_by = seed, weighted_by
        self._start = None if codec is None else codec.init(layout)

    def read(self, job: Job, content: RecordDict, base: Base, decoder: Any = None, key: bytes = b"") -> Reading:
        """Read the reply to ``job``, which started from ``base``, with the state ``decoder`` (None: a fresh one).

        ``key`` is the client's session key, if it was sent one.

        Raises
        ------
        ProtocolError, CodecError, UpdateRefusedError
            If it is not a reply to such a job.
        """
        whose = f"the reply of client {job.client}"
        coded = None if self._codec is None else config_record(content, CODED)
        if coded is not None and base.payload is None:  # a plain client has no stream that its payload could be of
            msg = f'{whose} has a record "{CODED}", its job was sent as plain arrays: expected plain arrays'
            raise ProtocolError(msg)
        if coded is None and base.payload is not None:
            msg = (
                f'{whose} has no record "{CODED}" but {excerpts(content)}, its job was sent coded: expected its update '
                "coded as well; the ClientApp needs compression_mod with the codec of the server"
            )
            raise ProtocolError(msg)
        if coded is not None and isinstance(reason := coded.get(REFUSED), str):
            msg = f"client {job.client} has no update to send: {words_of(reason)}"
            raise UpdateRefusedError(msg)
        record = single_metric_record(content, whose, self._weighted_by)
        if self._codec is not None and coded is not None:
            payload = coded.get("payload")
            if not isinstance(payload, bytes):
                msg = f'{whose} has a record "{CODED}" without payload bytes'
                raise ProtocolError(msg)
            codec = keyed_for(self._codec, seed=self._seed, client=job.client, key=key)
            delta, state = codec.decode(self._start if decoder is None else decoder, payload)
            if state.counter != job.counter:
                msg = f"{whose} to job {job.counter} holds the payload of job {state.counter}"
                raise ProtocolError(msg)
        else:
            state = None
            arrays = single_array_record(content, whose)
            delta = _minus(arrays_by_name(arrays, self._keys, whose), base.arrays, self._keys, whose)
        metrics = bounded_scores(record, whose, self._notes, self._weighted_by)
        weight = metrics.pop(self._weighted_by)
        num_examples = int(weight) if self._weighted_by == NUM_EXAMPLES else weight
        update = Update(
            client=job.client, delta=delta, base_version=job.base_version, num_examples=num_examples, base=base.arrays
        )
        return Reading(update=update, metrics=metrics, decoder=state)


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
    quotes around, and a plain traceback ends with it.
    """
    text = reason or ""
    if len(text) > 2 * _MOST_READ:
        text = f"{text[:_MOST_READ]} … {text[-_MOST_READ:]}"
    text = _ANSI.sub("", text).strip()
    _, found, said = text.rpartition(_FLOWERS_WORDS)
    if found:
        text = said.removesuffix("'>")
    else:
        said, found, _ = text.partition("\nTraceback (most recent call last)")
        text = said if found else text.rpartition("\n")[2]
    return excerpt(" ".join(text.split()), MOST_WORDS) or "no reason given"


def _minus(new: Arrays, base: Arrays, keys: list[str], whose: str) -> Arrays:
    for key, n, b in zip(keys, new, base, strict=True):
        if n.shape != b.shape or not (n.dtype == b.dtype or np.can_cast(n.dtype, b.dtype, "same_kind")):
            msg = f'{whose} has array "{key}" as {n.dtype} {n.shape}, expected {b.dtype} {b.shape}'
            if n.dtype == b.dtype == np.uint8:
                msg += ": bytes (as of XGBoost's models) cannot be merged; use Flower's FedXgbBagging or FedXgbCyclic"
            raise ProtocolError(msg)
    return difference(new, base)
