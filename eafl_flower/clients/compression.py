"""Client side of the payload seam: arrays arrive coded and leave as the coded difference.

The server side is ``eafl_flower.strategies.Compressed`` (around any round-based Flower strategy) or the
``codec=`` argument of our own strategies. The ClientApp behind the mod sees Flower's usual layout.
"""

import json
from dataclasses import replace
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable, Mod

from eafl_flower.clients.roster import roster_reply
from eafl_flower.codecs.differences import OtherArraysError, decode_onto, whole_codec
from eafl_flower.codecs.framing import layout_to_text
from eafl_flower.codecs.lqgcm.codec import keyed_for
from eafl_flower.core.arrays import difference
from eafl_flower.core.rng import generator
from eafl_flower.core.state import changed_fields, flatten, restore
from eafl_flower.engines.flower_internals import trusted_record
from eafl_flower.errors import CheckpointError, CodecError, ProtocolError, UpdateRefusedError
from eafl_flower.protocols import Codec, DifferenceCodec
from eafl_flower.types import Arrays, layout_of
from eafl_flower.wire.records import (
    ARRAYS,
    CODED,
    ONTO,
    RECORD,
    REFUSED,
    ROSTER,
    STATE_LOST,
    TERMS,
    JobTerms,
    array_record,
    arrays_by_name,
    arrays_of,
    coded_parts,
    config_name,
    config_record,
    difference_parts,
    single_array_record,
    terms_of,
)

STATE = "codec"
HELD, COUNTER = "codec.held", "counter"  # the arrays of a job, and its number in the record "codec"

_NO_TERMS = 'a coded train message came without the record "eafl": the server needs the same eafl-flower version'


def compression_mod(codec: Codec[Any]) -> Mod:
    """Return a client mod that decodes what arrives and encodes what leaves with ``codec``.

    Up: the reply's arrays minus the arrays *this client decoded*, so that the loss of the downlink does
    not leak into the update. Error feedback and predictors live in ``context.state["codec"]``; they are
    final only once the server says that it merged the payload. An update that cannot be coded (because it is
    not finite, or not like what the client was given) is not sent: the reply says why in its place, and the
    server counts it as refused. Arrays are matched by name. A message that is not coded passes through untouched,
    but a server of ours that asks who decodes, because the ClientApp has no answer to its query, is told.

    Behind the mod a message has Flower's usual layout, for Flower's own mods want one ArrayRecord and one ConfigRecord:
    the terms of the job stand in the configuration, as ``eafl.seed``, ``eafl.counter``, ... Mods that read or change
    arrays, such as ``fixedclipping_mod`` or ``LocalDpMod``, therefore come after this one in ``ClientApp(mods=[...])``.

    With a ``DifferenceCodec`` the arrays that each job was decoded to are kept in ``context.state["codec.held"]``,
    and what comes next is the difference to them. A client that does not hold what a job builds on says so instead
    of training, and gets whole arrays then.

    Parameters
    ----------
    codec
        The same codec, with the same settings, as the server's.
    """
    whole = whole_codec(codec)

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        if message.has_content() and ROSTER in message.content:
            return roster_reply(message, context, num_examples=None, kind="delta")
        if not message.has_content() or CODED not in message.content:
            return call_next(message, context)
        coded = config_record(message.content, CODED) or ConfigRecord()
        terms = terms_of(message.content)
        try:
            keys, base = _onto(codec, context, coded, terms) if ONTO in coded else _whole(whole, coded)
        except _NotHeldError as error:
            reason = ConfigRecord({REFUSED: str(error)})
            return Message(RecordDict({CODED: reason, TERMS: ConfigRecord({STATE_LOST: True})}), reply_to=message)
        message.content = _as_flower_has_it(message.content, str(coded.get(RECORD, ARRAYS)), array_record(keys, base))
        reply = call_next(message, context)
        if message.metadata.message_type != MessageType.TRAIN or not reply.has_content():
            return reply
        if terms is None:
            raise ProtocolError(_NO_TERMS)
        record = single_array_record(reply.content, "the client's reply")
        try:
            new = arrays_by_name(record, keys, "the client's reply")
            reply.content[CODED] = _encode(codec, context, terms, _difference(new, base))
            if isinstance(codec, DifferenceCodec):
                _hold(context, array_record(keys, base), terms)  # other bytes than those that the client was given
        except (CodecError, ProtocolError, UpdateRefusedError) as error:
            reply.content[CODED] = ConfigRecord({REFUSED: str(error)})
        for name in [name for name, record in reply.content.items() if isinstance(record, ArrayRecord)]:
            del reply.content[name]
        return reply

    return mod


def _as_flower_has_it(content: RecordDict, name: str, arrays: ArrayRecord) -> RecordDict:
    """Return the content of a message with its arrays, and the terms of the job as part of the configuration."""
    others: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {
        key: record for key, record in content.items() if key not in (CODED, TERMS)
    }
    place = config_name(content)
    config = ConfigRecord(dict(config_record(content, place) or {}))
    # Not the session key: it is for the codec alone, and a client's code may log its configuration.
    terms = (config_record(content, TERMS) or ConfigRecord()).items()
    config.update({f"{TERMS}.{key}": value for key, value in terms if key != "key"})
    return RecordDict({name: arrays, **others, **({place: config} if config else {})})


class _NotHeldError(Exception):
    """The client does not hold the arrays that those of a job build on."""


def _whole(codec: Codec[Any], coded: ConfigRecord) -> tuple[list[str], Arrays]:
    payload, layout, keys = coded_parts(coded)
    arrays, _ = codec.decode(codec.init(layout), payload)
    return keys, arrays


def _onto(codec: Codec[Any], context: Context, coded: ConfigRecord, terms: JobTerms | None) -> tuple[list[str], Arrays]:
    """Return keys and arrays of a job that came as the difference to what a state of this client holds."""
    payload, onto = difference_parts(coded)
    if not isinstance(codec, DifferenceCodec):
        msg = f"the server sends differences, {codec} knows only whole arrays: both sides must use the same codec"
        raise ProtocolError(msg)
    if terms is None:
        raise ProtocolError(_NO_TERMS)
    record, state = context.state.get(HELD), config_record(context.state, STATE)
    msg = f"the arrays of job {onto}, which those of job {terms.counter} build on, are not held any more"
    if not isinstance(record, ArrayRecord) or state is None or state.get(COUNTER) != onto:
        raise _NotHeldError(msg)
    try:  # a state of the same number may stem from another run on this disk
        return list(record), decode_onto(codec, arrays_of(record), payload, counter=terms.counter)
    except OtherArraysError as error:
        raise _NotHeldError(f"{msg}: {error}") from error


def _hold(context: Context, arrays: ArrayRecord, terms: JobTerms) -> None:
    """Keep the arrays of a job, for the next ones to build on; they belong to what the codec keeps of it."""
    context.state[HELD] = arrays
    context.state[STATE] = trusted_record(ConfigRecord, {**context.state[STATE], COUNTER: terms.counter})


def _difference(new: Arrays, base: Arrays) -> Arrays:
    fits = len(new) == len(base) and all(
        n.shape == b.shape and (n.dtype == b.dtype or np.can_cast(n.dtype, b.dtype, "same_kind"))
        for n, b in zip(new, base, strict=True)
    )
    if not fits:
        msg = f"the client returned arrays {layout_of(new)}, expected those it was given: {layout_of(base)}"
        raise UpdateRefusedError(msg)
    return difference(new, base)


def _encode(codec: Codec[Any], context: Context, terms: JobTerms, delta: Arrays) -> ConfigRecord:
    layout, codec = layout_of(delta), keyed_for(codec, seed=terms.seed, client=terms.client, key=terms.key)
    text, fresh = layout_to_text(layout), codec.init(layout)
    # a client that starts afresh has nothing to make up for
    state = _load(context, fresh, text) if terms.load else fresh
    state = replace(state, counter=terms.counter, acknowledged=terms.acknowledged)
    encoded, state = codec.encode(state, delta, generator(terms.seed, "codec", terms.client, terms.counter))
    _store(context, fresh, state, text)
    return trusted_record(ConfigRecord, {"payload": encoded.payload})


def _load(context: Context, fresh: Any, text: str) -> Any:
    """Return the state in the context, ``fresh`` if there is none for this layout or it cannot be used."""
    record = config_record(context.state, STATE)
    if record is None or record.get("layout") != text:
        return fresh
    try:
        names, data = json.loads(str(record["arrays"])), cast(list[bytes], record["data"])
        arrays = {
            name: np.frombuffer(raw, dtype).reshape(shape)
            for (name, dtype, shape), raw in zip(names, data, strict=True)
        }
        tree = json.loads(str(record["tree"]))
        changed = {name: restore(getattr(fresh, name), arrays, value) for name, value in tree["pairs"]}
        return replace(fresh, **changed)
    except (AttributeError, CheckpointError, KeyError, TypeError, ValueError):
        return fresh  # written by another codec or damaged on disk: nothing of it can be used


def _store(context: Context, fresh: Any, state: Any, layout: str) -> None:
    """Store in the context what has changed since the state was ``fresh``."""
    arrays, tree = flatten(changed_fields(state, fresh))
    names = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    record = {"layout": layout, "tree": json.dumps(tree), "arrays": json.dumps(names)}
    data = [array.tobytes() for array in arrays.values()]
    context.state[STATE] = trusted_record(ConfigRecord, {**record, "data": data})
