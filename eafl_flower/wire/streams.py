"""What the server remembers of each client's stream of differences; the client holds the same, bit for bit.

With a ``DifferenceCodec`` both directions build on what went before. Down, a job is sent as the difference to
the arrays its client holds: those it decoded in the job whose state it starts from. Up, the decoder continues from
what it made of the newest upload that was merged. Whoever is forgotten here is sent whole arrays in its next job,
and its codec starts afresh.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from logging import WARNING
from typing import Any

import numpy as np

from eafl_flower.core.state import changed_fields
from eafl_flower.engines.flower_log import log
from eafl_flower.protocols import DifferenceCodec
from eafl_flower.types import Arrays, ArraySpec, Layout

MOST_BYTES = 2**28  # what the streams of all clients may take where their number is not set


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """What one client and the server have in common.

    ``arrays`` are what the client's state number ``counter`` holds (0: nothing), ``decoder`` is what the upload of
    the job number ``acknowledged`` left (0: that of a fresh stream), for arrays with this ``layout``.
    """

    counter: int
    arrays: Arrays
    acknowledged: int
    decoder: Any
    layout: Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredStreams:
    """The streams of a checkpoint: of clients at rest, the longest unheard of first, and of those at work.

    Of each decoder only the fields that differ from a fresh one are stored, and the layout only if it is not the
    model's.
    """

    resting: dict[int, Stream] = field(default_factory=dict)
    working: dict[int, Stream] = field(default_factory=dict)


_ANY_STREAM = Stream(counter=0, arrays=(), acknowledged=0, decoder={}, layout=(ArraySpec((), ""),))
# What stored streams look like to a run without any: enough to read them and to say that they are another run's.
ANY_STREAMS = StoredStreams(resting={0: _ANY_STREAM}, working={0: _ANY_STREAM})


class ClientStreams:
    """One stream a client: taken out while the client has a job, put back when the job ends.

    Of clients without a job the ``most`` that were heard of last are remembered.

    Parameters
    ----------
    codec, layout
        What the streams are coded with, and the layout of the arrays.
    most
        Clients to remember; 0: as many as fit into ``MOST_BYTES``.
    """

    def __init__(self, codec: DifferenceCodec[Any], layout: Layout, most: int = 0) -> None:
        size = sum(spec.size * np.dtype(spec.dtype).itemsize for spec in layout)
        self.most = most or max(1, MOST_BYTES // max(1, 2 * size))  # arrays and decoder
        self._codec = codec
        self._fresh = Stream(counter=0, arrays=(), acknowledged=0, decoder=codec.init(layout), layout=layout)
        self._resting: OrderedDict[int, Stream] = OrderedDict()
        self._working: dict[int, Stream] = {}
        self._has_warned = False

    def __len__(self) -> int:
        return len(self._resting) + len(self._working)

    def begin(self, client: int, load: int, layout: Layout) -> Stream:
        """Take out the stream of ``client`` for a job that starts from its state number ``load``.

        If that has arrays of another ``layout``, nothing of the stream can be used.
        """
        stream = self._resting.pop(client, self._fresh)
        if stream.counter != load:
            stream = replace(stream, counter=0, arrays=())
        if stream.layout != layout:
            stream = self._fresh_with(layout)
        self._working[client] = stream
        return stream

    def _fresh_with(self, layout: Layout) -> Stream:
        if layout == self._fresh.layout:
            return self._fresh
        return replace(self._fresh, decoder=self._codec.init(layout), layout=layout)

    def of(self, client: int) -> Stream:
        """Return the stream of a client, as far as it is remembered."""
        return self._working.get(client) or self._resting.get(client, self._fresh)

    def merge(self, client: int, counter: int, decoder: Any) -> None:
        """Note that the upload of the open job, number ``counter``, was merged and left ``decoder``."""
        stream = self._working.get(client)
        if stream is not None:  # a plain client has none
            self._working[client] = replace(stream, acknowledged=counter, decoder=decoder)

    def restart(self, client: int) -> None:
        """Let the next upload of a client at work build on nothing; what the client holds stays."""
        stream = self._working.get(client)
        if stream is not None:
            self._working[client] = replace(stream, acknowledged=0, decoder=self._fresh_with(stream.layout).decoder)

    def end(self, client: int, *, state: int, arrays: Arrays | None = None) -> None:
        """End the job of ``client``, which now has the state number ``state`` (0: none).

        ``arrays`` are what that state holds, if the job has made it; otherwise it is the state before.
        """
        stream = self._working.pop(client, None)
        if stream is None:  # a plain client
            return
        if arrays is not None:
            stream = replace(stream, counter=state, arrays=arrays)
        if not state or stream.counter != state:
            return
        self._resting[client] = stream
        if len(self._resting) > self.most:
            forgotten, _ = self._resting.popitem(last=False)
            if not self._has_warned:
                self._has_warned = True
                log(
                    WARNING,
                    "more than %d clients: those unheard of for longest are sent whole arrays again, first client %d; "
                    "remembered_clients sets how many are remembered, at %d bytes each",
                    *(self.most, forgotten, 2 * sum(a.nbytes for a in stream.arrays)),
                )

    # Checkpoints.

    def snapshot(self) -> StoredStreams:
        """Return all streams as storable values."""
        return StoredStreams(
            resting={client: self._stored(stream) for client, stream in self._resting.items()},
            working={client: self._stored(stream) for client, stream in self._working.items()},
        )

    def template(self) -> StoredStreams:
        """Return a value that tells the classes of a snapshot's."""
        decoder = self._fresh.decoder
        names = decoder.__dataclass_fields__
        any_stream = replace(self._fresh, decoder={name: getattr(decoder, name) for name in names})
        return StoredStreams(resting={0: any_stream}, working={0: any_stream})

    def restore(self, stored: StoredStreams) -> None:
        """Take up the streams of a checkpoint, made with any number of remembered clients."""
        for client, stream in stored.working.items():
            self._working[client] = self._restored(stream)
        for client, stream in stored.resting.items():
            self._resting[client] = self._restored(stream)
        while len(self._resting) > self.most:
            self._resting.popitem(last=False)

    def _stored(self, stream: Stream) -> Stream:
        usual = stream.layout == self._fresh.layout
        changed = changed_fields(stream.decoder, self._fresh_with(stream.layout).decoder)
        return replace(stream, decoder=changed, layout=() if usual else stream.layout)

    def _restored(self, stream: Stream) -> Stream:
        layout = stream.layout or self._fresh.layout
        return replace(stream, decoder=replace(self._fresh_with(layout).decoder, **stream.decoder), layout=layout)
