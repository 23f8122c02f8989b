"""The server's half of the wire for the arrays of one model: what each client is sent, and what its reply holds.

Our own runs and ``Compressed`` send and receive with this class; the client's half is ``wire.client_side``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, RecordDict

from eafl_flower.codecs.differences import message_codec
from eafl_flower.codecs.keys import client_key, keyed_for
from eafl_flower.codecs.weights import codes_weights
from eafl_flower.core.arrays import difference, fits, since
from eafl_flower.core.excerpt import excerpt
from eafl_flower.errors import CodecError, ProtocolError
from eafl_flower.protocols import Codec, DifferenceCodec
from eafl_flower.types import Arrays, Layout, layout_of
from eafl_flower.wire.arrays import arrays_by_name, check_names
from eafl_flower.wire.downlink import Base, Downlink, Version
from eafl_flower.wire.records import (
    ARRAYS,
    CODED,
    DIFFERENCE,
    LAYOUT,
    MESSAGE,
    coded_parts,
    config_record,
    single_array_record,
)
from eafl_flower.wire.replies import agreed_payload, wrong_kind
from eafl_flower.wire.streams import ANY_STREAMS, ClientStreams, StoredStreams


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What one client starts a job from.

    ``onto`` is the number of the client state that ``base`` is the difference to, 0 if it is sent whole;
    ``version`` names the whole arrays.
    """

    base: Base
    onto: int
    version: Version


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """The update in a reply; ``decoder`` is the state that its payload leaves, None if it had no payload."""

    delta: Arrays
    decoder: Any


class ServerSide:
    """Codes what goes down, decodes what comes up, and remembers what each client holds where that matters.

    Parameters
    ----------
    codec
        The codec of both directions, None for plain arrays.
    keys, layout
        Names and layout of the arrays.
    seed
        Seed of the run.
    record
        Name of the ArrayRecord that the ClientApp sees.
    remembered_clients
        Clients of which is remembered what they hold; 0: as many as fit into 256 MiB.
    """

    def __init__(
        self,
        codec: Codec[Any] | None,
        keys: Sequence[str],
        layout: Layout,
        *,
        seed: int,
        record: str = ARRAYS,
        remembered_clients: int = 0,
    ) -> None:
        self.keys, self.layout = list(keys), layout
        self._codec, self._seed = codec, seed
        self._gets_weights = codes_weights(codec)
        self._fresh = None if codec is None else codec.init(layout)
        self.downlink = Downlink(codec, self.keys, layout, seed, record)
        self.streams: ClientStreams | None = None
        if isinstance(codec, DifferenceCodec):
            self.streams = ClientStreams(codec, layout, remembered_clients)
        self.secret = b""  # from which the clients' session keys are made, where they are sent

    def key_of(self, client: int) -> bytes:
        """Return the session key that ``client`` is sent, none in a simulation."""
        return client_key(self.secret, client) if self.secret else b""

    def acknowledged(self, client: int, newest: int) -> int:
        """Return the upload that the next one of ``client`` may build on, given the ``newest`` that was merged."""
        return newest if self.streams is None else self.streams.of(client).acknowledged

    # Down.

    def send(
        self, client: int, *, counter: int, load: int, version: Version, arrays: Arrays, plain: bool = False
    ) -> Sent:
        """Return what ``client`` starts its job number ``counter`` from, with its state number ``load``.

        Whole ``arrays`` are coded the first time that ``version`` is sent; they may have another layout than the model.
        A ``plain`` client knows no codec. ``end`` must follow.
        """
        if self.streams is not None and not plain:
            stream = self.streams.begin(client, load, layout_of(arrays))
            if stream.counter:
                base = self.downlink.encode_onto(stream.arrays, arrays, client=client, counter=counter, load=load)
                return Sent(base=base, onto=load, version=version)
        return Sent(base=self._as_known(self.downlink.take(version, arrays), plain), onto=0, version=version)

    def send_again(
        self, client: int, *, counter: int, onto: int, version: Version, payload: bytes, plain: bool = False
    ) -> Sent:
        """Return what an open job of a checkpoint starts from, after ``restore``."""
        if self.streams is not None and onto:
            held = self.streams.of(client).arrays
            base = self.downlink.decode_onto(held, payload, counter=counter, load=onto)
        else:
            base = self._as_known(self.downlink[version], plain)
        return Sent(base=base, onto=onto, version=version)

    def _as_known(self, base: Base, plain: bool) -> Base:
        return self.downlink.uncoded(base) if plain else base

    # Up.

    def receive(self, client: int, counter: int, content: RecordDict, sent: Sent, *, whose: str) -> Received:
        """Return the update in the reply to job number ``counter`` of ``client``; errors call it ``whose``.

        Raises
        ------
        ProtocolError, CodecError, UpdateRefusedError
            If it is not a reply to such a job, or the client says that it has no update.
        """
        base = sent.base
        if base.payload is None:
            arrays = arrays_by_name(self._plain(content, whose), self.keys, whose)
            return Received(delta=_minus(arrays, base.arrays, self.keys, whose), decoder=None)
        assert self._codec is not None
        payload = agreed_payload(content, whose)
        if LAYOUT in content[CODED]:
            raise wrong_kind(whose, MESSAGE, DIFFERENCE, "it is coded whole")
        codec = keyed_for(self._codec, seed=self._seed, client=client, key=self.key_of(client))
        layout = layout_of(base.arrays)
        fresh = self._fresh if layout == self.layout else self._codec.init(layout)
        decoder = fresh if self.streams is None else self.streams.of(client).decoder
        try:
            update, state = codec.decode(decoder, payload)
        except CodecError as error:
            msg = f"{whose} cannot be decoded: {error}"
            raise CodecError(msg) from error
        if state.counter != counter:
            msg = f"{whose} to job {counter} holds the payload of job {state.counter}"
            raise ProtocolError(msg)
        return Received(delta=since(base.arrays, update) if self._gets_weights else update, decoder=state)

    def receive_message(
        self, counter: int, content: RecordDict, sent: Sent, names: Sequence[str], layout: Layout, *, whose: str
    ) -> Arrays:
        """Return the arrays ``names`` in the reply to job number ``counter``; of a coded one the ``layout`` is checked.

        Raises
        ------
        ProtocolError, CodecError, UpdateRefusedError
            If it is not a message of these arrays, or the client says that it has none.
        """
        if sent.base.payload is None:
            return arrays_by_name(self._plain(content, whose), names, whose, MESSAGE)
        assert self._codec is not None
        payload = agreed_payload(content, whose)
        coded = config_record(content, CODED)
        if coded is None or LAYOUT not in coded:
            raise wrong_kind(whose, DIFFERENCE, MESSAGE, "it has neither names nor layout")
        _, its_layout, its_names = coded_parts(coded)
        check_names(its_names, names, whose, MESSAGE)
        expected = dict(zip(names, layout, strict=True))
        for name, spec in zip(its_names, its_layout, strict=True):
            if spec != expected[name]:
                msg = f'{whose} has array "{excerpt(name)}" as {spec.dtype} {spec.shape}, expected '
                raise ProtocolError(f"{msg}{expected[name].dtype} {expected[name].shape}")
        try:
            codec = message_codec(self._codec)
            arrays, state = codec.decode(codec.init(its_layout), payload)
        except CodecError as error:
            raise CodecError(f"{whose} cannot be decoded: {error}") from error
        if state.counter != counter:
            raise ProtocolError(f"{whose} to job {counter} holds the payload of job {state.counter}")
        found = dict(zip(its_names, arrays, strict=True))
        return tuple(found[name] for name in names)

    def _plain(self, content: RecordDict, whose: str) -> ArrayRecord:
        """Return the arrays in the reply to a job that was sent as plain arrays."""
        if self._codec is not None and config_record(content, CODED) is not None:  # it has no stream to be one of
            msg = f'{whose} has a record "{CODED}", its job was sent as plain arrays: expected plain arrays'
            raise ProtocolError(msg)
        return single_array_record(content, whose)

    # How a job ends.

    def merged(self, client: int, counter: int, decoder: Any) -> None:
        """Note that the upload of the open job was used; its payload left ``decoder``, None if there was none."""
        if self.streams is not None and decoder is not None:
            self.streams.merge(client, counter, decoder)

    def restart(self, client: int) -> None:
        """Let the next upload of ``client`` build on nothing: it may remember other uploads than are known here."""
        if self.streams is not None:
            self.streams.restart(client)

    def end(self, client: int, sent: Sent, *, state: int, is_new: bool) -> None:
        """End the job of ``client``, which now has the state number ``state`` (0: none), made by this job or before."""
        if not sent.onto:
            self.downlink.release(sent.version)
        if self.streams is not None:
            self.streams.end(client, state=state, arrays=sent.base.arrays if is_new else None)

    # Checkpoints.

    def snapshot(self) -> tuple[dict[int | str, Arrays], StoredStreams]:
        """Return what is needed to send open jobs again, and what clients hold."""
        return self.downlink.snapshot(), StoredStreams() if self.streams is None else self.streams.snapshot()

    def template(self) -> StoredStreams:
        """Return a value that tells the classes of a snapshot's."""
        return ANY_STREAMS if self.streams is None else self.streams.template()

    def restore(
        self, versions: dict[int | str, Arrays], streams: StoredStreams, open_jobs: Sequence[int | str]
    ) -> None:
        """Take up a snapshot; ``open_jobs`` are the versions that open jobs took whole."""
        self.downlink.restore(versions, open_jobs)
        if self.streams is not None:
            self.streams.restore(streams)


def _minus(new: Arrays, base: Arrays, keys: list[str], whose: str) -> Arrays:
    for key, n, b in zip(keys, new, base, strict=True):
        if not fits(n, b):
            msg = f'{whose} has array "{key}" as {n.dtype} {n.shape}, expected {b.dtype} {b.shape}'
            if n.dtype == b.dtype == np.uint8:
                msg += ": bytes (as of XGBoost's models) cannot be merged; use Flower's FedXgbBagging or FedXgbCyclic"
            raise ProtocolError(msg)
    return difference(new, base)
