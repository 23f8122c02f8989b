"""What server and client hold of one stream, side by side: they must be the same, bit for bit."""

import numpy as np
from flwr.app import Context, RecordDict

from eafl_flower.clients.durable_state import COUNTER as COUNTERS
from eafl_flower.clients.durable_state import PREVIOUS
from eafl_flower.codecs import layout_to_text
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.types import digest, layout_of
from eafl_flower.wire.arrays import arrays_of
from eafl_flower.wire.client_side import COUNTER, HELD, _load


def client_state(context_state, number):
    """The records of the client state ``number``, as far as the node's context has them."""
    counters = context_state[COUNTERS]
    if counters["current"] == number:
        return RecordDict({k: v for k, v in context_state.items() if not k.startswith(PREVIOUS)})
    assert counters["previous"] == number, (dict(counters), number)
    return RecordDict({k.removeprefix(PREVIOUS): v for k, v in context_state.items() if k.startswith(PREVIOUS)})


def assert_agree(stream, context_state, codec):
    """Hold what the server remembers against what the client would start its next job from."""
    mine = client_state(context_state, stream.counter)
    held = arrays_of(mine[HELD])
    assert mine["codec"][COUNTER] == stream.counter
    assert digest(held) == digest(stream.arrays)
    context = Context(1, 2, {}, mine, {})
    encoder = _load(context.state, codec.init(layout_of(held)), layout_to_text(layout_of(held)), "")
    if stream.acknowledged == 0:
        assert stream.decoder.reference == 0
        return
    assert stream.decoder.reference == stream.acknowledged
    if stream.acknowledged == encoder.pending_counter:
        np.testing.assert_array_equal(encoder.pending, stream.decoder.history, strict=True)
    else:
        assert stream.acknowledged == encoder.reference
        np.testing.assert_array_equal(encoder.history, stream.decoder.history, strict=True)


class WatchedGrid(InlineGrid):
    """Compares both sides whenever a message is pushed; may lose replies that were made.

    ``loses(client, counter)`` says whether the reply to that job gets lost on its way.
    """

    def __init__(self, app, num_nodes, codec, *, loses=lambda client, counter: False):
        super().__init__(app, num_nodes)
        self.codec, self.loses, self.run_of, self.compared = codec, loses, lambda: None, 0

    def push_messages(self, messages):
        self.compare()
        return super().push_messages(messages)

    def compare(self):
        jobs = getattr(self.run_of(), "jobs", None)
        streams = jobs.models.first.side.streams if jobs is not None else None  # without an open job they are false
        for client, stream in [*streams._resting.items(), *streams._working.items()] if streams else []:
            if stream.counter:
                assert_agree(stream, self._states[client + 2], self.codec)
                self.compared += 1

    def _run_client(self, message_id):
        message, _ = self._pending[message_id]
        terms = message.content.get("eafl")  # before the client's mods take it out
        super()._run_client(message_id)
        if message.metadata.message_type == "train" and terms and self.loses(terms["client"], terms["counter"]):
            del self._done[message_id]
