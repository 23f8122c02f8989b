"""Client side of the payload seam: arrays arrive coded and leave as the coded difference.

The server side is ``eafl_flower.strategies.Compressed`` (around any round-based Flower strategy) or the
``codec=`` argument of our own strategies. The ClientApp behind the mod sees Flower's usual layout.
"""

from functools import cache
from logging import WARNING
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable, Mod

from eafl_flower.clients.own_time import telling_own_time
from eafl_flower.clients.roster import roster_reply
from eafl_flower.engines.answer import reply_of
from eafl_flower.engines.flower_internals import trusted_record
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import ProtocolError
from eafl_flower.protocols import Codec
from eafl_flower.wire.agreement import disagreement, stated_in, statement, with_codec
from eafl_flower.wire.arrays import array_record
from eafl_flower.wire.client_side import ClientSide, NotHeldError
from eafl_flower.wire.records import (
    ARRAYS,
    CODED,
    PARTITION,
    RECORD,
    REFUSED,
    ROSTER,
    STATE_LOST,
    TERMS,
    config_name,
    config_record,
    single_array_record,
    terms_of,
)


def compression_mod(codec: Codec[Any], *, kind: str = "delta") -> Mod:
    """Return a client mod that decodes what arrives and encodes what leaves with ``codec``.

    Up: the reply's arrays minus the arrays *this client decoded*, so that the loss of the downlink does
    not leak into the update. Error feedback and predictors live in ``context.state["codec"]``; they are
    final only once the server says that it merged the payload. An update that cannot be coded (because it is
    not finite, or not like what the client was given) is not sent: the reply says why in its place, and the
    server counts it as refused. Arrays are matched by name. A message that is not coded passes through untouched,
    which the log of a process says once; but a server of ours that asks who decodes, because the ClientApp has no
    answer to its query, is told.

    Behind the mod a message has Flower's usual layout, for Flower's own mods want one ArrayRecord and one ConfigRecord:
    the terms of the job stand in the configuration, as ``eafl.seed``, ``eafl.counter``, ... Mods that read or change
    arrays, such as ``fixedclipping_mod`` or ``LocalDpMod``, therefore come after this one in ``ClientApp(mods=[...])``.

    With a ``DifferenceCodec`` the arrays that each job was decoded to are kept in ``context.state["codec.held"]``,
    and what comes next is the difference to them. A client that does not hold what a job builds on says so instead
    of training, and gets whole arrays then.

    The codec is stated in the answer to the roster query, and ``Compressed`` states its own in the first message to
    each node: where the two differ, the node is refused by one line that names both.

    Parameters
    ----------
    codec
        The same codec, with the same settings, as the server's.
    kind
        What the ClientApp answers, told where it has no answer to the roster query: "delta", or "message" if its arrays
        are others than those it is sent, for methods that take such.
    """
    side, ours = ClientSide(codec), statement(codec=codec)

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        if message.has_content() and ROSTER in message.content:
            return _with_codec(roster_reply(message, context, num_examples=None, kind=kind), codec)
        _note_plain_arrays(message)
        if message.metadata.message_type == MessageType.QUERY:
            return _with_codec(call_next(message, context), codec)
        if not message.has_content() or CODED not in message.content:
            return reply_of(call_next, message, context)
        coded = config_record(message.content, CODED) or ConfigRecord()
        if why := disagreement(stated_in(coded), ours):
            if message.metadata.message_type != MessageType.TRAIN:
                raise ProtocolError(why)
            return Message(RecordDict({CODED: ConfigRecord({REFUSED: why})}), reply_to=message)
        terms = terms_of(message.content)
        try:
            keys, base = side.receive(context.state, coded, terms)
        except NotHeldError as error:
            reason = ConfigRecord({REFUSED: str(error)})
            return Message(RecordDict({CODED: reason, TERMS: ConfigRecord({STATE_LOST: True})}), reply_to=message)
        message.content = _as_flower_has_it(message.content, str(coded.get(RECORD, ARRAYS)), array_record(keys, base))
        reply = reply_of(call_next, message, context)
        if message.metadata.message_type != MessageType.TRAIN or not reply.has_content():
            return reply
        new = single_array_record(reply.content, "the client's reply")
        others = {name: record for name, record in reply.content.items() if not isinstance(record, ArrayRecord)}
        coded = side.send(context.state, terms, keys, base, new)
        reply.content = trusted_record(RecordDict, {**others, CODED: coded})
        return reply

    return telling_own_time(mod)


def _with_codec(reply: Message, codec: Codec[Any]) -> Message:
    """Let a node state its codec in its answer to the roster query, whoever has written that; leave others alone."""
    if not reply.has_content() or not any(PARTITION in record for record in reply.content.metric_records.values()):
        return reply
    reply.content[ROSTER] = with_codec(config_record(reply.content, ROSTER) or ConfigRecord(), codec)
    return reply


def _note_plain_arrays(message: Message) -> None:
    if message.metadata.message_type == MessageType.TRAIN and message.has_content() and CODED not in message.content:
        _warn_of_plain_arrays()


@cache
def _warn_of_plain_arrays() -> None:
    text = "compression_mod has nothing to decode: the server sends plain arrays, and gets plain ones back"
    log(WARNING, text + "; write Compressed(strategy, codec) there, or codec= of a strategy of ours")


def _as_flower_has_it(content: RecordDict, name: str, arrays: ArrayRecord) -> RecordDict:
    """Return the content of a message with its arrays, and the terms of the job as part of the configuration."""
    others: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {
        key: record for key, record in content.items() if key not in (CODED, TERMS)
    }
    place = config_name(content)
    config = dict((config_record(content, place) or ConfigRecord()).items())
    # Not the session key: it is for the codec alone, and a client's code may log its configuration.
    terms = (config_record(content, TERMS) or ConfigRecord()).items()
    config |= {f"{TERMS}.{key}": value for key, value in terms if key != "key"}
    configs = {place: trusted_record(ConfigRecord, config)} if config else {}
    return trusted_record(RecordDict, {name: arrays, **others, **configs})
