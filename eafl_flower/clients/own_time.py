"""How long a node was at work on a message, and what it draws: what is left of its time is transfer and pauses."""

import time

from flwr.app import ConfigRecord, Context, Message, MessageType
from flwr.clientapp.typing import ClientAppCallable, Mod

from eafl_flower.clients.profile import powers_of
from eafl_flower.wire.records import OWN_S, TERMS, TIMED, config_record


def telling_own_time(mod: Mod) -> Mod:
    """Return ``mod``, which also tells how long the node took and its powers, where the terms of a job ask for it.

    Of several such mods the outermost is heard.
    """

    def timed(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        terms = config_record(message.content, TERMS) if message.has_content() else None
        asked = terms is not None and terms.get(TIMED) is True
        powers_w = powers_of(context) if asked else {}  # what is wrong with them is said before anybody trains
        began_s = time.perf_counter()
        reply = mod(message, context, call_next)
        if asked and message.metadata.message_type == MessageType.TRAIN and reply.has_content():
            told = config_record(reply.content, TERMS) or ConfigRecord()
            own_s = time.perf_counter() - began_s
            reply.content[TERMS] = ConfigRecord({**told, OWN_S: own_s, **powers_w})
        return reply

    return timed


@telling_own_time
def own_time_mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Tell how long the node took with all that is behind this mod."""
    return call_next(message, context)
