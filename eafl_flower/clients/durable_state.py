"""Client state that survives: named by dispatch counter, kept in the context and on the node's disk.

A client's private head, codec residuals and whatever else it keeps in ``context.state`` belong to the
job that made them. Each dispatch names the state to start from (``load``). The mod gives the ClientApp
exactly that state, whatever happened in between: a reply that was lost on its way, a job that is sent
again, a node that restarted, a server that resumed from a checkpoint.

Files are ``<state-dir>/<run>/client-<partition>/state-<counter>.safetensors``.
"""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable, Mod

from eafl_flower.core.durable import PRIVATE_FOLDER, make_folder, write_private
from eafl_flower.engines.answer import reply_of
from eafl_flower.engines.flower_internals import copy_records, trusted_record
from eafl_flower.errors import ClientFailedError, ProtocolError
from eafl_flower.wire.arrays import array_record, arrays_of
from eafl_flower.wire.records import CONFIG, RUN_NAME, STATE_LOST, TERMS, JobTerms, terms_of

COUNTER = "eafl.counter"
PREVIOUS = "eafl.previous/"
OF_THE_NODE = "node."  # records with such names belong to the node, whatever job it has: they are left alone
_NOBODYS = -1  # no job starts from a state of this number

Records = dict[str, ArrayRecord | MetricRecord | ConfigRecord]


def durable_state_mod(state_dir: str | Path | None = None, *, power_safe: bool = True) -> Mod:
    """Return a client mod that gives each job the client state its terms name; only ``answering_mod`` is before it.

    Parameters
    ----------
    state_dir
        Folder for the states. By default ``state-dir`` of the node's configuration, then
        ``checkpoint.state-dir`` of the run's; without any the state lives in the context alone and is
        lost when the node restarts.
    power_safe
        Wait until each state is on the disk. Without, which is faster, states survive a killed process but
        not a power failure.

    Notes
    -----
    A state that is nowhere to be found is replaced by a fresh one and the reply says so (record
    ``eafl``, ``state-lost``). The context holds the current state and the one the last job started from, because a
    reply can be lost after the client computed it.
    """

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        kind = message.metadata.message_type
        if message.has_content() and f"{TERMS}.counter" in message.content.get(CONFIG, {}):
            msg = "durable_state_mod stands after compression_mod, which takes the terms of a job out of its message"
            raise ProtocolError(f"{msg}: write mods=[durable_state_mod(), compression_mod(codec)]")
        terms = terms_of(message.content) if message.has_content() and TERMS in message.content else None
        if terms is None or kind not in (MessageType.TRAIN, MessageType.EVALUATE):
            return reply_of(call_next, message, context)
        if not RUN_NAME.fullmatch(terms.run):
            msg = f"the server names its run {terms.run!r}: expected letters, digits and . _ = , + -"
            raise ProtocolError(msg)
        folder = _folder(state_dir, context, terms)
        stored = dict(context.state.items())
        of_the_node = _taken_out(stored)
        start, lost = _state_at(stored, terms, folder)
        context.state = copy_records(trusted_record(RecordDict, {**start, **of_the_node}))  # array bytes are shared
        try:
            reply = reply_of(call_next, message, context)
            if kind == MessageType.TRAIN:
                trained = dict(context.state.items())
                _taken_out(trained)
                if folder is not None:
                    _write(folder, terms, trained, power_safe=power_safe)
                    _delete_older(folder, terms)
                stored = {
                    **trained,
                    **{PREVIOUS + name: record for name, record in start.items()},
                    COUNTER: _counters(terms, lost=lost),
                }
        finally:
            context.state = trusted_record(RecordDict, {**stored, **of_the_node})
        if lost and reply.has_content():
            reply.content[TERMS] = ConfigRecord({STATE_LOST: True})
        return reply

    return mod


def _taken_out(records: Records) -> Records:
    """Take the node's own records out of ``records`` and return them."""
    return {name: records.pop(name) for name in [name for name in records if name.startswith(OF_THE_NODE)]}


def state_path(state_dir: Path, run: str, client: int, counter: int) -> Path:
    """Return the file of one state of a client."""
    return _path(_folder_of(state_dir, run, client), counter)


def stored_state(state_dir: Path, run: str, client: int, counter: int) -> Records | None:
    """Return the records of one state of a client, None if its file is missing or damaged."""
    return _read(state_path(state_dir, run, client, counter))


def _counters(terms: JobTerms, *, lost: bool) -> ConfigRecord:
    # What stood in for a lost state is not that state: whoever asks for it again is told, too.
    previous = _NOBODYS if lost else terms.load
    return trusted_record(ConfigRecord, {"run": terms.run, "current": terms.counter, "previous": previous})


def _state_at(stored: Records, terms: JobTerms, folder: Path | None) -> tuple[Records, bool]:
    """Return the client state numbered ``terms.load`` and whether it was lost."""
    if terms.load == 0:
        return {}, False
    counters = stored.get(COUNTER)
    if counters is not None and counters.get("run") == terms.run:
        if counters["current"] == terms.load:
            return {k: v for k, v in stored.items() if k != COUNTER and not k.startswith(PREVIOUS)}, False
        if counters["previous"] == terms.load:
            return {k.removeprefix(PREVIOUS): v for k, v in stored.items() if k.startswith(PREVIOUS)}, False
    found = None if folder is None else _read(_path(folder, terms.load))
    return ({}, True) if found is None else (found, False)


def _folder(state_dir: str | Path | None, context: Context, terms: JobTerms) -> Path | None:
    root = state_dir or context.node_config.get("state-dir") or context.run_config.get("checkpoint.state-dir")
    return None if not root else _folder_of(Path(str(root)), terms.run, terms.client)


def _folder_of(state_dir: Path, run: str, client: int) -> Path:
    return state_dir / run / f"client-{client}"


def _path(folder: Path, counter: int) -> Path:
    return folder / f"state-{counter}.safetensors"


def _write(folder: Path, terms: JobTerms, records: Records, *, power_safe: bool) -> None:
    for ours in (folder.parent, folder):
        if ours.is_symlink():
            msg = f"{ours} is a symbolic link: a client's state is not written through one; move the folder here"
            raise ClientFailedError(msg)
    make_folder(folder, rights=PRIVATE_FOLDER, durable=power_safe)
    # durable before what this state stands in for is deleted
    write_private(_path(folder, terms.counter), _pack(records), durable=power_safe)


def _delete_older(folder: Path, terms: JobTerms) -> None:
    """Delete the states before ``terms.load`` that no server will name again: all but that of the newest checkpoint.

    Those after the checkpoint's go only if they are no newer than the file of ``load``: a server that was killed
    and resumed may already have had them made again, while this job was still at work.
    """
    start_ns = _written_ns(_path(folder, terms.load))
    for path in folder.glob("state-*.safetensors"):
        digits = path.name[len("state-") : -len(".safetensors")]
        number = int(digits) if digits.isdecimal() else terms.load
        if number >= terms.load or number == terms.durable:
            continue
        if number < terms.durable or _written_ns(path) <= start_ns:
            path.unlink(missing_ok=True)


def _written_ns(path: Path) -> int:
    """Return when a file was written, 0 if it is missing."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _pack(records: Records) -> bytes:
    arrays: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for name, record in records.items():
        if isinstance(record, ArrayRecord):
            plain[name] = {"arrays": list(record)}
            for key, value in zip(record, arrays_of(record), strict=True):
                arrays[f"{name}\n{key}"] = value.copy()
        else:
            kind = "config" if isinstance(record, ConfigRecord) else "metric"
            plain[name] = {kind: {k: _to_json(v) for k, v in record.items()}}
    text = json.dumps(plain)
    return safetensors.numpy.save(arrays, metadata={"records": text, "crc32": _checksum(text, arrays)})


def _checksum(text: str, arrays: dict[str, Any]) -> str:
    """Tell a disk's mistakes; who can write to the folder can do anything."""
    crc = zlib.crc32(text.encode())
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].reshape(-1).view(np.uint8), zlib.crc32(name.encode(), crc))
    return str(crc)


def _read(path: Path) -> Records | None:
    """Return the records in a file, None if it is missing or damaged."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            text = file.metadata()["records"]
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            if file.metadata()["crc32"] != _checksum(text, arrays):
                return None
            plain = json.loads(text)
            records: Records = {}
            for name, record in plain.items():
                if "arrays" in record:
                    keys = record["arrays"]
                    records[name] = array_record(keys, [arrays[f"{name}\n{k}"] for k in keys])
                elif "config" in record:
                    records[name] = ConfigRecord({k: _from_json(v) for k, v in record["config"].items()})
                else:
                    records[name] = MetricRecord({k: _from_json(v) for k, v in record["metric"].items()})
            return records
    except (
        OSError,
        safetensors.SafetensorError,
        AttributeError,
        LookupError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ):
        return None


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return [_to_json(v) for v in value] if isinstance(value, list) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return [_from_json(v) for v in value] if isinstance(value, list) else value
