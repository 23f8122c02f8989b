"""What our messages carry, in one place for both sides of the wire.

==============  ============  ================================================================
record          kind          holds
==============  ============  ================================================================
``arrays``      ArrayRecord   model arrays, when no codec is in use
``eafl.arrays`` ConfigRecord  the same arrays coded: ``payload``, and on the way down either ``layout`` and
                              ``keys`` or, of a difference, ``onto``: the number of the client state that holds
                              what it is the difference to, and ``record``, the name of the record it stands for,
                              if that is not ``arrays``; in the reply only ``payload`` and ``told``, the bits that the
                              codec's paper would count and the relative error, of a message ``layout`` and ``keys``
                              too; or ``refused``, why the client has nothing to send; of ``Compressed``, ``agreed``
                              until a reply of the node was used
``config``      ConfigRecord  the user's configuration and ``server-round``, from 1
``eafl``        ConfigRecord  the terms of the job (``JobTerms``), among them its order, as far as that is not the usual
                              one (``wire.orders``); in a reply ``state-lost``, if it was, and to a job that is to
                              be ``timed``, ``own-s``: how long the node was at work [s], and the powers that its
                              configuration states [W] (``POWERS``)
``roster``      ConfigRecord  in the answer to the roster query: ``kind``, ``refusal`` if it cannot take part, ``note``,
                              ``agreed``: what both sides must have alike (``wire.agreement``)
``eafl.rows``   ConfigRecord  in that answer, what a node tells of rows that it alone has (``data.shape``)
``eafl.greeting`` ConfigRecord  in the query, what every node is told before its first job
``metrics``     MetricRecord  ``num-examples`` and whatever the client reports; in the answer to the roster query
                              ``counted`` = 0, if ``num-examples`` is not known before the first reply
==============  ============  ================================================================
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from eafl_flower.codecs.framing import layout_from_text, layout_to_text
from eafl_flower.core.excerpt import excerpt, excerpts
from eafl_flower.core.orders import NO_ORDER, Order
from eafl_flower.engines.flower_internals import trusted_record
from eafl_flower.errors import CodecError, ProtocolError
from eafl_flower.types import Layout
from eafl_flower.wire.orders import order_fields, order_of

ARRAYS = "arrays"
CODED = "eafl.arrays"
CONFIG = "config"
TERMS = "eafl"
METRICS = "metrics"
ROSTER = "roster"
NUM_EXAMPLES = "num-examples"
PARTITION = "partition-id"
STATE_LOST = "state-lost"
TIMED, OWN_S = "timed", "own-s"
COMPUTE_W, TRANSMIT_W, RECEIVE_W = POWERS = ("compute-power-w", "transmit-power-w", "receive-power-w")
MOST_POWER_W: Final = 1e5  # more is no vehicle and no unit at a road
UNJUDGED = "unjudged"
REFUSED = "refused"
REFUSAL, NOTE = "refusal", "note"
ROWS = "eafl.rows"
GREETING = "eafl.greeting"
ONTO = "onto"
RECORD = "record"
LAYOUT = "layout"
TOLD = "told"
DIFFERENCE, MESSAGE = "difference", "message"  # kinds of replies

MAX_KEY_LENGTH = 4096
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+-]{0,127}")  # names a folder on the nodes
MOST_EXAMPLES = 2**53  # whole numbers up to here are exact as floats


@dataclass(frozen=True, kw_only=True, slots=True)
class JobTerms:
    """The terms of one job, sent with each train and evaluate message.

    Parameters
    ----------
    run
        Name of the run; client states of other runs are never touched.
    seed
        Seed of the run.
    client
        Partition id of the client.
    counter
        Number of this dispatch to this client, from 1; 0 in an evaluation.
    load
        Counter of the client state to start from; 0 means a fresh one.
    acknowledged
        Counter of the newest upload of this client that was merged.
    durable
        Counter of the client state that the newest checkpoint names, 0 if none does: of the states before ``load``
        it is the only one that may be needed again.
    key
        Session key of a codec that needs one, in a deployment; travels only if there is one.
    order
        What the client is to do; travels only as far as it is not the usual.
    kind
        What it is to answer with; travels only if that is a message.
    timed
        Whether the node is to tell how long it was at work, as in a deployment; travels only then.
    """

    run: str
    seed: int
    client: int
    counter: int
    load: int
    acknowledged: int
    durable: int
    key: bytes = field(default=b"", repr=False)
    kind: str = DIFFERENCE
    timed: bool = False
    order: Order = NO_ORDER


_NOT_SENT: Final = {"key": b"", "kind": DIFFERENCE, "timed": False}  # values of terms that do not travel


def config_record(content: RecordDict, name: str) -> ConfigRecord | None:
    """Return the ConfigRecord ``name`` of a message, None if there is none (or another kind of record)."""
    record = content.get(name)
    return record if isinstance(record, ConfigRecord) else None


def config_name(content: RecordDict) -> str:
    """Return the name of the user's configuration in a message: ``config``, or what the strategy calls it."""
    others = (name for name, record in content.items() if isinstance(record, ConfigRecord))
    return CONFIG if CONFIG in content else next((n for n in others if n not in (TERMS, CODED)), CONFIG)


def terms_record(terms: JobTerms) -> ConfigRecord:
    """Return ``terms`` as a record."""
    plain = {n: v for n in JobTerms.__slots__ if n != "order" and (v := getattr(terms, n)) != _NOT_SENT.get(n)}
    return trusted_record(ConfigRecord, plain | order_fields(terms.order))


def terms_of(content: RecordDict) -> JobTerms | None:
    """Return the terms in a message, None if it has none (a server other than ours).

    Raises
    ------
    ProtocolError
        If the record is incomplete or of the wrong types, or ``durable`` is later than ``load``.
    """
    record = config_record(content, TERMS)
    if record is None:
        return None
    sent = dict(record.items())
    values: dict[str, Any] = {"order": order_of(sent)}
    for name, kind in JobTerms.__annotations__.items():
        if name in values:
            continue
        value = sent.get(name, _NOT_SENT.get(name))
        if type(value) is not kind or (kind is int and name != "seed" and value < 0):  # type: ignore[operator]
            msg = (
                f'record "{TERMS}" of a message has {name} = {excerpt(value)}: expected a non-negative {kind.__name__}'
            )
            raise ProtocolError(msg)
        values[name] = value
    terms = JobTerms(**values)
    if terms.durable > terms.load:
        msg = (
            f'record "{TERMS}" of a message has durable = {terms.durable}, load = {terms.load}: expected durable to be '
            "at most load, for no checkpoint is ahead of its run; the server needs the same eafl-flower version"
        )
        raise ProtocolError(msg)
    return terms


def as_payload(payload: bytes) -> bytes:
    """Return what a codec made; raise ``CodecError`` if it is not bytes."""
    if type(payload) is not bytes:
        msg = f"the codec encoded to {type(payload).__name__}: expected bytes"
        raise CodecError(msg)
    return payload


def coded_record(payload: bytes, layout: Layout, keys: Sequence[str], record: str = ARRAYS) -> ConfigRecord:
    """Return coded arrays as they travel to a client: payload, layout and keys."""
    named = {} if record == ARRAYS else {RECORD: record}
    texts = {"layout": layout_to_text(layout), "keys": [str(key) for key in keys], **named}
    return trusted_record(ConfigRecord, {"payload": as_payload(payload), **texts})


def difference_record(payload: bytes, onto: int, record: str = ARRAYS) -> ConfigRecord:
    """Return the coded difference to what client state ``onto`` holds: that client knows layout and keys."""
    named = {} if record == ARRAYS else {RECORD: record}
    return trusted_record(ConfigRecord, {"payload": as_payload(payload), ONTO: onto, **named})


def difference_parts(record: ConfigRecord) -> tuple[bytes, int]:
    """Return payload and ``onto`` of a coded difference.

    Raises
    ------
    ProtocolError
        If the record does not hold them.
    """
    payload, onto = record.get("payload"), record.get(ONTO)
    if not (isinstance(payload, bytes) and type(onto) is int and onto > 0):
        got = f"got {excerpts(sorted(record))}, {ONTO} = {excerpt(onto)}"
        msg = f'record "{CODED}" needs payload (bytes) and {ONTO} (from 1), {got}'
        raise ProtocolError(msg)
    return payload, onto


def coded_parts(record: ConfigRecord | None) -> tuple[bytes, Layout, list[str]]:
    """Return payload, layout and keys of coded arrays.

    Raises
    ------
    ProtocolError, CodecError
        If the record does not hold them.
    """
    record = record if record is not None else ConfigRecord()
    payload, layout_text, keys = record.get("payload"), record.get("layout"), record.get("keys")
    if not (isinstance(payload, bytes) and isinstance(layout_text, str) and isinstance(keys, list)):
        got = excerpts(sorted(record))
        msg = f'record "{CODED}" needs payload (bytes), layout (str) and keys (list of str), got {got}'
        raise ProtocolError(msg)
    layout = layout_from_text(layout_text)
    names = [k for k in keys if isinstance(k, str) and len(k) <= MAX_KEY_LENGTH]
    if len(names) != len(layout) or len(set(names)) != len(layout):
        msg = f'record "{CODED}" names {len(set(names))} different arrays, its layout has {len(layout)}'
        raise ProtocolError(msg)
    return payload, layout, names


def single_array_record(content: RecordDict, whose: str) -> ArrayRecord:
    """Return the only ArrayRecord of a message."""
    records = [record for record in content.values() if isinstance(record, ArrayRecord)]
    if len(records) != 1:
        msg = f"{whose} holds {len(records)} ArrayRecords in {excerpts(sorted(content))}: expected exactly one"
        raise ProtocolError(msg)
    return records[0]


def single_metric_record(content: RecordDict, whose: str, weighted_by: str = NUM_EXAMPLES) -> MetricRecord:
    """Return the only MetricRecord of a message; it must hold ``weighted_by``, a number >= 0."""
    records = [record for record in content.values() if isinstance(record, MetricRecord)]
    if len(records) != 1:
        msg = f"{whose} holds {len(records)} MetricRecords in {excerpts(sorted(content))}: expected exactly one"
        raise ProtocolError(msg)
    record = records[0]
    count = record.get(weighted_by)
    if not isinstance(count, int | float) or not 0 <= count <= MOST_EXAMPLES:
        msg = f'{whose} reports "{weighted_by}" = {excerpt(count)}: expected a number from 0 to {MOST_EXAMPLES}'
        raise ProtocolError(msg)
    return record
