"""A ClientApp that misbehaves by plan: in a bundle it takes the place of ``eafl_flower/client_app.py``.

``faults`` in the configuration of a node names what it does in each of its jobs, in order; after them, and where it
says "fine", it behaves. Some stand inside our mods, as the code of a client does, some outside, as whoever has the node
in his hands.
"""

import os
import time

import numpy as np
from flwr.app import ConfigRecord, RecordDict

from eafl_flower.app import client as ours

CODED = "eafl.arrays"
OLD = "node.old-payload"  # what durable_state_mod leaves alone
HUGE = 64 * 2**20


def fault(context, counter):
    """What this node does wrong in its job number ``counter``."""
    plan = str(context.node_config.get("faults", "")).split()
    return plan[counter - 1] if 0 < counter <= len(plan) else "fine"


def inside(message, context, call_next):
    """Misbehave as a client's own code may."""
    if message.metadata.message_type != "train":
        return call_next(message, context)
    time.sleep(float(context.node_config.get("pause-s", 0)))
    now = fault(context, int(message.content["config"]["eafl.counter"]))
    if now == "raise":
        raise ValueError("the lidar is dirty")
    if now == "exit":
        os._exit(3)
    if now == "hang":
        time.sleep(10_000)
    if now == "none":
        return None
    reply = call_next(message, context)
    if now == "nan":
        arrays = reply.content["arrays"]
        for name, array in arrays.items():
            arrays[name] = type(array)(np.full_like(array.numpy(), np.nan))
    return reply


def outside(message, context, call_next):
    """Misbehave as the owner of a node may, whatever our code would have sent."""
    if message.metadata.message_type != "train":
        return call_next(message, context)
    counter = int(message.content["eafl"]["counter"])
    reply = call_next(message, context)
    now = fault(context, counter)
    if now == "garbage":
        reply.content[CODED] = ConfigRecord({"payload": bytes(range(256)) * 4})
    elif now == "huge":
        reply.content[CODED] = ConfigRecord({"payload": bytes(HUGE)})
    elif now == "other":
        reply.content = RecordDict({"hello": ConfigRecord({"world": 1})})
    elif now == "old":
        reply.content[CODED] = ConfigRecord({"payload": context.state[OLD]["payload"]})
    elif reply.has_content() and CODED in reply.content and "payload" in reply.content[CODED]:
        context.state[OLD] = ConfigRecord({"payload": reply.content[CODED]["payload"]})
    return reply


def _with_faults(client_fn, *, mods, roster_fn):
    answering, *others = mods
    return numpy_client_app(client_fn, mods=[answering, outside, *others, inside], roster_fn=roster_fn)


numpy_client_app, ours.numpy_client_app = ours.numpy_client_app, _with_faults
app = ours.client_app()
