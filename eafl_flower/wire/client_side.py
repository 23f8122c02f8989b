"""The client's half of the wire: coded arrays are decoded, and what was made of them is coded as their difference.

A codec of weights is given what was trained instead, and the server takes the difference.

What a codec remembers between two jobs lies in the client's state, a RecordDict as in Flower's ``context.state``:
``codec`` holds error feedback and predictors, ``codec.held`` the arrays that the last job was decoded to, if the codec
sends differences to them.
"""

import json
from dataclasses import replace
from typing import Any, Final, cast

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from eafl_flower.codecs.differences import OtherArraysError, decode_onto, message_codec, whole_codec
from eafl_flower.codecs.framing import layout_to_text
from eafl_flower.codecs.keys import keyed_for
from eafl_flower.codecs.weights import codes_weights
from eafl_flower.core.arrays import difference, fits, trained
from eafl_flower.core.rng import generator
from eafl_flower.core.state import changed_fields, flatten, restore
from eafl_flower.engines.flower_internals import trusted_record
from eafl_flower.errors import CheckpointError, CodecError, ProtocolError, UpdateRefusedError
from eafl_flower.protocols import Codec, DifferenceCodec
from eafl_flower.types import Arrays, Encoded, layout_of
from eafl_flower.wire.arrays import array_record, arrays_by_name, arrays_of
from eafl_flower.wire.records import (
    MESSAGE,
    ONTO,
    REFUSED,
    TOLD,
    JobTerms,
    as_payload,
    coded_parts,
    coded_record,
    config_record,
    difference_parts,
)

STATE: Final = "codec"
HELD: Final = "codec.held"  # the arrays of a job ...
COUNTER: Final = "counter"  # ... and its number in the record "codec"

_NO_TERMS = 'a coded train message came without the record "eafl": the server needs the same eafl-flower version'


class NotHeldError(Exception):
    """The client does not hold the arrays that those of a job build on."""


class ClientSide:
    """Decodes and codes with ``codec``, the same as the server's."""

    def __init__(self, codec: Codec[Any]) -> None:
        self._codec, self._whole, self._messages = codec, whole_codec(codec), message_codec(codec)
        self._differences = codec if isinstance(codec, DifferenceCodec) else None
        self._handed_over = trained if codes_weights(codec) else difference

    def receive(self, state: RecordDict, coded: ConfigRecord, terms: JobTerms | None) -> tuple[list[str], Arrays]:
        """Return names and values of the arrays that the server sent.

        Raises
        ------
        NotHeldError
            If they build on arrays that this client does not hold.
        ProtocolError, CodecError
            If nothing of this codec was sent.
        """
        if ONTO in coded:
            return self._onto(state, coded, terms)
        payload, layout, keys = coded_parts(coded)
        return keys, self._whole.decode(self._whole.init(layout), payload)[0]

    def send(
        self, state: RecordDict, terms: JobTerms | None, keys: list[str], base: Arrays, new: ArrayRecord
    ) -> ConfigRecord:
        """Return the coded difference of ``new`` to ``base``, the arrays that this client decoded; a message whole.

        So the loss of the downlink does not leak into the update. Of a codec of weights the floating arrays of ``new``
        are coded themselves. What the codec remembers becomes final only when the server says that it used the payload.
        An update that cannot be coded (because it is not finite, or not like what the client was given) is not sent:
        the record says why in its place.

        Raises
        ------
        ProtocolError
            If the message came without the terms of a job.
        """
        if terms is None:
            raise ProtocolError(_NO_TERMS)
        try:
            if terms.kind == MESSAGE:
                coded = self._encode_message(terms, new)
            else:
                arrays = arrays_by_name(new, keys, "the client's reply")
                _check_fit(arrays, base)
                coded = self._encode(state, terms, self._handed_over(arrays, base))
            if self._differences is not None:
                _hold(state, array_record(keys, base), terms)  # other bytes than those that the client was given
        except (CodecError, ProtocolError, UpdateRefusedError) as error:
            return ConfigRecord({REFUSED: str(error)})
        return coded

    def _onto(self, state: RecordDict, coded: ConfigRecord, terms: JobTerms | None) -> tuple[list[str], Arrays]:
        """Return keys and arrays of a job that came as the difference to what a state of this client holds."""
        payload, onto = difference_parts(coded)
        if self._differences is None:
            msg = f"the server sends differences, {self._codec} knows only whole arrays"
            raise ProtocolError(f"{msg}: both sides must use the same codec")
        if terms is None:
            raise ProtocolError(_NO_TERMS)
        held, kept = state.get(HELD), config_record(state, STATE)
        msg = f"the arrays of job {onto}, which those of job {terms.counter} build on, are not held any more"
        if not isinstance(held, ArrayRecord) or kept is None or kept.get(COUNTER) != onto:
            raise NotHeldError(msg)
        try:  # a state of the same number may stem from another run on this disk
            return list(held), decode_onto(self._differences, arrays_of(held), payload, counter=terms.counter)
        except OtherArraysError as error:
            raise NotHeldError(f"{msg}: {error}") from error

    def _encode_message(self, terms: JobTerms, new: ArrayRecord) -> ConfigRecord:
        """Return arrays of any names and shapes coded whole; the codec remembers nothing of them."""
        arrays = arrays_of(new)
        layout = layout_of(arrays)
        fresh = replace(self._messages.init(layout), counter=terms.counter)
        rng = generator(terms.seed, "codec", terms.client, terms.counter)
        encoded = self._messages.encode(fresh, arrays, rng)[0]
        coded = coded_record(encoded.payload, layout, list(new))
        return trusted_record(ConfigRecord, {**dict(coded.items()), TOLD: _told(encoded)})

    def _encode(self, state: RecordDict, terms: JobTerms, update: Arrays) -> ConfigRecord:
        layout = layout_of(update)
        codec = keyed_for(self._codec, seed=terms.seed, client=terms.client, key=terms.key)
        text, fresh = layout_to_text(layout), codec.init(layout)
        # a client that starts afresh has nothing to make up for
        model = terms.order.model
        stream = _load(state, fresh, text, model) if terms.load else fresh
        stream = replace(stream, counter=terms.counter, acknowledged=terms.acknowledged)
        encoded, stream = codec.encode(stream, update, generator(terms.seed, "codec", terms.client, terms.counter))
        _store(state, fresh, stream, text, model)
        return trusted_record(ConfigRecord, {"payload": as_payload(encoded.payload), TOLD: _told(encoded)})


def _told(encoded: Encoded) -> list[float]:
    """Return what a run tells of an upload; the last digits of an error depend on the machine, and are left out."""
    return [float(encoded.bits_paper), float(f"{encoded.error:.6g}")]


def _hold(state: RecordDict, arrays: ArrayRecord, terms: JobTerms) -> None:
    """Keep the arrays of a job, for the next ones to build on; they belong to what the codec keeps of it."""
    state[HELD] = arrays
    state[STATE] = trusted_record(ConfigRecord, {**(config_record(state, STATE) or {}), COUNTER: terms.counter})


def _check_fit(new: Arrays, base: Arrays) -> None:
    if len(new) != len(base) or not all(map(fits, new, base)):
        msg = f"the client returned arrays {layout_of(new)}, expected those it was given: {layout_of(base)}"
        raise UpdateRefusedError(msg)


def _load(state: RecordDict, fresh: Any, text: str, model: str) -> Any:
    """Return the stored state of the codec, ``fresh`` if there is none for this model or it cannot be used."""
    record = config_record(state, STATE)
    if record is None or (record.get("layout"), record.get("model", "")) != (text, model):
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


def _store(state: RecordDict, fresh: Any, stream: Any, layout: str, model: str) -> None:
    """Store what has changed since the state of the codec was ``fresh``."""
    arrays, tree = flatten(changed_fields(stream, fresh))
    names = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    record = {"layout": layout, "tree": json.dumps(tree), "arrays": json.dumps(names)}
    record |= {"model": model} if model else {}
    data = [array.tobytes() for array in arrays.values()]
    state[STATE] = trusted_record(ConfigRecord, {**record, "data": data})
