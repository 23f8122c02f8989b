"""Any NumPyClient as a Message-API ClientApp.

Flower's own ``ClientApp(client_fn=...)`` answers only the record layout from before the Message API.
The bridge lets a NumPyClient take part under Message-API strategies, ours and Flower's.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod

from eafl_flower.clients.own_time import own_time_mod
from eafl_flower.clients.roster import roster_reply
from eafl_flower.core.arrays import fits
from eafl_flower.core.excerpt import excerpt
from eafl_flower.core.threads import one_thread
from eafl_flower.engines.flower_internals import trusted_record
from eafl_flower.errors import ClientFailedError, ProtocolError
from eafl_flower.types import Array, Arrays
from eafl_flower.wire.arrays import array_record, own_arrays_of
from eafl_flower.wire.records import (
    ARRAYS,
    DIFFERENCE,
    MESSAGE,
    METRICS,
    NUM_EXAMPLES,
    TERMS,
    config_name,
    single_array_record,
)

OTHER_METRICS = "metrics.other"
_OF_LEGACY_SERVERS = ("fitins.", "evaluateins.")  # names of the records that they send
Plain = bool | int | float | str | bytes


def numpy_client_app(
    client_fn: Callable[[Context], Any],
    *,
    mods: Sequence[Mod] = (),
    roster_fn: Callable[[Context], Mapping[str, Any]] | None = None,
) -> ClientApp:
    """Return a ClientApp that trains, evaluates and answers the roster query with a NumPyClient.

    A client gets arrays of its own, which it may keep and write into. The ``config`` it gets holds the keys of the
    message's configuration record and, with the prefix ``eafl.``, the terms of the job (``eafl.seed``,
    ``eafl.client``, ``eafl.counter``, ...). The reply has the array keys of the message; metrics that a MetricRecord
    cannot hold (bool, str, bytes) travel in the ConfigRecord ``metrics.other``. An exception in a client becomes
    Flower's error reply.

    Parameters
    ----------
    client_fn
        ``client_fn(context)`` returns a NumPyClient, or what its ``to_client()`` gives. It is called for
        each message: what is costly should be kept between calls.
    mods
        Client mods, outermost first.
    roster_fn
        ``roster_fn(context)`` returns what the server should know before the first job: ``num-examples``,
        ``trains`` (1, or 0 for a client that is only evaluated) and ``kind`` of the payloads (``"full"``:
        complete weights, ``"delta"``: coded differences, ``"message"``: other arrays than it is sent), or in
        ``refusal`` why this node cannot take part, in ``note`` what the server
        should tell of it, and in ``agreed`` plain values by name, such as ``{"task": "cars, 9 classes"}``: a node is
        refused if the server's ``agreed`` has another value under a name. Without it the client is asked: its
        attributes ``num_examples``, ``trains``, ``kind`` and ``agreed`` if it has them, else 1, 1, ``"full"`` and none.

    Notes
    -----
    A client of the kind ``"message"`` returns from ``fit`` a mapping of names to arrays in the place of the list: they
    are sent as they are.
    """
    app = ClientApp(mods=[own_time_mod, *mods])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        keys, arrays, config = _request(message)
        client = _client(client_fn, context)
        with _reported(client, context):
            result = client.fit(list(arrays), config)
        new, num_examples, metrics = _triple(result, "fit", "(list of arrays, number of examples, dict of metrics)")
        records = _metric_records(metrics, "fit", {NUM_EXAMPLES: _count(num_examples, "fit")})
        content = {ARRAYS: _answered(new, arrays, keys, config), **records}
        return Message(trusted_record(RecordDict, content), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        _, arrays, config = _request(message)
        client = _client(client_fn, context)
        if type(client).evaluate is NumPyClient.evaluate:
            msg = f"{type(client).__name__} has no evaluate method: write one, or switch client-side evaluation off"
            raise ProtocolError(msg)
        with _reported(client, context):
            result = client.evaluate(list(arrays), config)
        loss, num_examples, metrics = _triple(result, "evaluate", "(loss, number of examples, dict of metrics)")
        first: dict[str, Any] = {NUM_EXAMPLES: _count(num_examples, "evaluate")}
        if loss is not None:  # None: this client measures other things
            first["loss"] = loss
        return Message(trusted_record(RecordDict, _metric_records(metrics, "evaluate", first)), reply_to=message)

    @app.query()
    def query(message: Message, context: Context) -> Message:
        if roster_fn is not None:
            known = dict(roster_fn(context))
        else:
            client = _client(client_fn, context)
            known = {NUM_EXAMPLES: getattr(client, "num_examples", 1), "trains": getattr(client, "trains", True)}
            known["kind"] = getattr(client, "kind", "full")
            known["agreed"] = getattr(client, "agreed", None)
        return roster_reply(
            message,
            context,
            num_examples=_count(known.get(NUM_EXAMPLES, 1), "roster_fn"),
            trains=bool(known.get("trains", 1)),
            kind=str(known.get("kind", "full")),
            refusal=str(known.get("refusal", "")),
            note=str(known.get("note", "")),
            agreed=known.get("agreed"),
        )

    return app


def _client(client_fn: Callable[[Context], Any], context: Context) -> NumPyClient:
    client = client_fn(context)
    client = getattr(client, "numpy_client", client)  # what NumPyClient.to_client() wraps
    if not isinstance(client, NumPyClient):
        msg = f"client_fn returned {type(client).__name__}: expected a flwr.client.NumPyClient (or its to_client())"
        raise ProtocolError(msg)
    one_thread()
    return client


def _request(message: Message) -> tuple[list[str], Arrays, dict[str, Any]]:
    content = message.content
    if any(name.startswith(_OF_LEGACY_SERVERS) for name in content):
        msg = (
            "the server speaks Flower's legacy API (server_fn, ServerAppComponents), this client the Message API: "
            "write @app.main() in the ServerApp too"
        )
        raise ProtocolError(msg)
    record = single_array_record(content, "the server's message")
    # read as items: RecordDict.config_records builds a new mapping of all records each time
    config: dict[str, Any] = dict(content.get(config_name(content), {}))
    # Not the session key: it is for the codec alone, and a client's code may log its configuration.
    config.update({f"{TERMS}.{key}": value for key, value in content.get(TERMS, {}).items() if key != "key"})
    return list(record), own_arrays_of(record), config


@contextmanager
def _reported(client: NumPyClient, context: Context) -> Iterator[None]:
    """Turn what could end the node's process, or says too little, into an error of this client."""
    try:
        yield
    except SystemExit as error:
        msg = f"client {_name(context)} called sys.exit({error.code!r}): raise an exception instead"
        raise ClientFailedError(msg) from error
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        device = getattr(client, "device", None)
        where = "" if device is None else f' on device "{device}"'
        msg = (
            f"client {_name(context)} ran out of memory{where} ({error}): use a smaller batch, fewer clients at a time "
            'on this device, or device = "cpu"'
        )
        raise ClientFailedError(msg) from error


def _name(context: Context) -> str:
    partition = context.node_config.get("partition-id")
    return f"on node {context.node_id}" if partition is None else str(partition)


def _is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    return isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.cuda.OutOfMemoryError))


def _triple(result: Any, method: str, expected: str) -> tuple[Any, Any, Any]:
    if isinstance(result, tuple | list) and len(result) == 3:
        return result[0], result[1], result[2]
    msg = f"NumPyClient.{method} returned {type(result).__name__}: expected a tuple {expected}"
    raise ProtocolError(msg)


def _count(value: Any, source: str) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0:
        return int(value)
    msg = f"{source} reports {value!r} examples: expected an integer >= 0"
    raise ProtocolError(msg)


def _answered(new: Any, old: Arrays, keys: Sequence[str], config: Mapping[str, Any]) -> ArrayRecord:
    """Return the arrays of a fit: those of a mapping where the server takes messages, else like those it was given."""
    kind = MESSAGE if isinstance(new, Mapping) else DIFFERENCE
    expected = config.get(f"{TERMS}.kind", DIFFERENCE)
    if kind != expected:
        wanted = "a mapping of names to arrays" if expected == MESSAGE else f"a list of {len(old)} arrays"
        msg = f"NumPyClient.fit answered with a {kind}, the server expects a {excerpt(expected)}: return {wanted}"
        raise ProtocolError(msg)
    if kind == DIFFERENCE:
        return array_record(keys, _checked(new, old, keys))
    arrays = {str(name): np.asarray(array) for name, array in new.items()}
    if wrong := [name for name, array in arrays.items() if array.dtype.kind not in "iufb"]:
        msg = f'NumPyClient.fit returned array "{wrong[0]}" of dtype {arrays[wrong[0]].dtype}: expected numbers'
        raise ProtocolError(msg)
    return array_record(list(arrays), list(arrays.values()))


def _checked(new: Any, old: Arrays, keys: Sequence[str]) -> list[Array]:
    """Return the arrays of a fit in the dtypes they came in; they must have kept their number and shapes."""
    if not isinstance(new, list | tuple) or len(new) != len(old):
        got = f"{len(new)} arrays" if isinstance(new, list | tuple) else type(new).__name__
        msg = f"NumPyClient.fit returned {got}: expected a list of {len(old)}, as many as it was given"
        raise ProtocolError(msg)
    arrays = [np.asarray(a) for a in new]
    for key, array, given in zip(keys, arrays, old, strict=True):
        if not fits(array, given):
            msg = (
                f'NumPyClient.fit returned array "{key}" as {array.dtype} {array.shape}: '
                f"expected {given.dtype} {given.shape}, as it was given"
            )
            raise ProtocolError(msg)
    return [a if a.dtype == given.dtype else a.astype(given.dtype) for a, given in zip(arrays, old, strict=True)]


def _metric_records(metrics: Any, method: str, first: Mapping[str, Any]) -> dict[str, MetricRecord | ConfigRecord]:
    """Return numbers as the MetricRecord and the rest as a ConfigRecord; ``first`` wins over ``metrics``."""
    if not isinstance(metrics, Mapping):
        msg = f"NumPyClient.{method} returned metrics of type {type(metrics).__name__}: expected a dict"
        raise ProtocolError(msg)
    numbers: dict[str, int | float] = {}
    others: dict[str, Plain] = {}
    for key, value in {**metrics, **first}.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, int | float) and not isinstance(plain, bool):
            numbers[str(key)] = plain
        elif isinstance(plain, bool | str | bytes):
            others[str(key)] = plain
        else:
            msg = (
                f'NumPyClient.{method} returned metric "{key}" of type {type(value).__name__}: '
                "expected a number, bool, str or bytes"
            )
            raise ProtocolError(msg)
    records: dict[str, MetricRecord | ConfigRecord] = {METRICS: trusted_record(MetricRecord, numbers)}
    if others:
        records[OTHER_METRICS] = ConfigRecord(dict(others))
    return records
