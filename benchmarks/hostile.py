"""Nodes that lie, at scale: mutated payloads for every codec, and hostile replies through whole runs.

    python benchmarks/hostile.py [--quick] [--part payloads|replies]

Payloads: valid ones of each codec, cut, extended, spliced and with flipped bits, half of them with a frame whose
checksum is right again, so that the decoder behind it is reached. Each must be decoded, or be a ``CodecError``.

Replies: client 0 of four answers as an attacker, each time another way; the runs must end with all merges made,
finite arrays and scores that JSON can hold, and no event longer than a few kilobytes.

Prints a table of counts and writes it to results/hostile.json (not with --quick: 20,000 payloads and 60 replies
instead of 1,000,000 and 500). Ends with an error if one case went wrong. A further part is one more function in
``PARTS``.
"""

import argparse
import io
import json
import logging
import math
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from report import row, write_rows

from eafl_flower.clients import compression_mod, durable_state_mod, numpy_client_app
from eafl_flower.codecs import Float32Codec, Int8Codec, LQGCMCodec, PublishedLQGCMCodec, fit_codebook, frame, keyed_for
from eafl_flower.core.rng import generator
from eafl_flower.engines import InlineGrid
from eafl_flower.errors import CodecError
from eafl_flower.protocols import Codec
from eafl_flower.strategies import EMAM, AsyncEMAM
from eafl_flower.types import Arrays, ArraySpec, layout_of

Rows = list[dict[str, Any]]
BLOCKS = generator(0, "hostile", "blocks").normal(0, 0.1, (300, 256)).astype(np.float32)
CODECS: dict[str, Codec[Any]] = {
    "float32": Float32Codec(),
    "int8": Int8Codec(block_size=16),
    "int8 without feedback": Int8Codec(block_size=16, error_feedback=False),
    "lqgcm": LQGCMCodec(tuples=4),
    "lqgcm dithered": keyed_for(LQGCMCodec(tuples=4, mode="dithered"), seed=0, client=0, key=b"k" * 32),
    **{
        f"lqgcm {mode}": LQGCMCodec(tuples=4, mode=mode, codebook=fit_codebook(mode, BLOCKS, generator(0, mode)))
        for mode in ("rvq", "literal")
    },
    "lqgcm without prediction": LQGCMCodec(tuples=4, prediction=False),
    "lqgcm published": PublishedLQGCMCodec(),
}
LAYOUT = (ArraySpec((12, 10), "float32"), ArraySpec((10,), "float32"), ArraySpec((7,), "int64"))
VALID = 20  # payloads of a stream that are mutated
LONGEST_EVENT = 8_000  # bytes: a refusal of a thousand letters, or a hundred metrics with names of a line
_HEAD = struct.Struct("<HBBII")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the payloads, an eighth of the replies")
    parser.add_argument("--part", choices=sorted(PARTS), help="only this part (default: all)")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    rows = [r for name, part in PARTS.items() if arguments.part in (None, name) for r in part(arguments.quick)]
    if arguments.quick or arguments.part:
        for r in rows:
            print(f"{r['name']:50s} {r['value']:>12,} {r['unit']}")
    else:
        write_rows("hostile", rows)
    if wrong := [r["name"] for r in rows if r["name"].endswith("wrong") and r["value"]]:
        sys.exit(f"not as it must be: {', '.join(wrong)}")


# Payloads.


def payloads(quick: bool) -> Rows:
    """Decode mutated payloads of every codec."""
    each = math.ceil((20_000 if quick else 1_000_000) / len(CODECS))
    rows = []
    for name, codec in CODECS.items():
        rng, outcomes, began_s = generator(0, "hostile", name), Counter[str](), time.perf_counter()
        valid, states = stream(codec, rng)
        for payload, state in mutated(valid, states, each, rng):
            try:
                decoded, _ = codec.decode(state, payload)
                outcomes["decoded" if layout_of(decoded) == LAYOUT else "wrong"] += 1
            except CodecError:
                outcomes["refused"] += 1
            except Exception as error:
                outcomes["wrong"] += 1
                print(f"{name}: {type(error).__name__}: {error}"[:200], file=sys.stderr)
        rows += [row(f"payloads, {name}: {k}", outcomes[k], "payloads") for k in ("decoded", "refused", "wrong")]
        rows.append(row(f"payloads, {name}: each", 1e6 * (time.perf_counter() - began_s) / each, "us"))
    return rows


def arrays(rng: np.random.Generator) -> Arrays:
    return tuple(
        rng.normal(0, 0.1, spec.shape).astype(np.float32) if spec.dtype == "float32" else rng.integers(0, 5, spec.shape)
        for spec in LAYOUT
    )


def stream(codec: Codec[Any], rng: np.random.Generator) -> tuple[list[bytes], list[Any]]:
    """Return the payloads of consecutive updates, and the state to decode each with."""
    encoder = decoder = codec.init(LAYOUT)
    valid, states = [], []
    for _ in range(VALID):
        encoded, encoder = codec.encode(encoder, arrays(rng), rng)
        states.append(decoder)
        valid.append(encoded.payload)
        _, decoder = codec.decode(decoder, encoded.payload)
    return valid, states


def mutated(valid: list[bytes], states: list[Any], count: int, rng: np.random.Generator) -> Iterator[tuple[bytes, Any]]:
    for i in range(count):
        place = i % VALID
        payload = one_of(valid, place, int(rng.integers(6)), rng)
        if i % 2 and len(payload) >= 16:  # the checksum is right again, so the decoder behind it sees the body
            _, codec_id, codec_version, _, counter = _HEAD.unpack_from(valid[place])
            payload = frame(
                [payload[16:]], codec_id=codec_id, codec_version=codec_version, layout=LAYOUT, counter=counter
            )
        yield payload, states[place]


def one_of(valid: list[bytes], place: int, kind: int, rng: np.random.Generator) -> bytes:
    payload, size = valid[place], len(valid[place])
    if kind == 0:
        return payload[: int(rng.integers(size))]
    if kind == 1:
        return payload + rng.bytes(int(rng.integers(1, 40)))
    if kind == 2:  # the head of one, the rest of another
        cut = int(rng.integers(size))
        return payload[:cut] + valid[int(rng.integers(VALID))][cut:]
    if kind == 3:
        return payload[:16] + rng.bytes(size - 16)
    changed = bytearray(payload)
    for at in rng.integers(size, size=1 if kind == 4 else 1 + size // 8):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


# Replies.

KEYS = ("0", "1")
MODEL = ((6, 5), (5,))


class Honest(NumPyClient):
    num_examples = 10

    def fit(self, parameters: Any, config: Any) -> Any:
        rng = generator(0, "hostile", int(config["eafl.client"]), int(config["eafl.counter"]))
        return [0.9 * a + 0.1 + rng.normal(0, 0.01, a.shape).astype(np.float32) for a in parameters], 10, {"loss": 1.0}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        return float(np.abs(parameters[0] - 1).mean()), 10, {"accuracy": 0.5}


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def odd_bytes(rng: np.random.Generator) -> bytes:
    """Return bytes that claim to be an array and are not, or not the one that was asked for."""
    good = npy(np.ones(MODEL[0], np.float32))
    at = int(rng.integers(len(good)))
    descr = rng.choice(["'|O'", "'|V0'", "'<U0'", "'<M8[s]'", "[('a','<f4')]", "'<f4'", "'<f16'", "'?'"])
    shape = rng.choice(
        ["(2**40,)", "(1099511627776,)", "(-6, -5)", "(0, 4611686018427387904)", "(6, 5)", "6", "(6.0,)"]
    )
    text = f"{{'descr': {descr}, 'fortran_order': {rng.choice(['True', 'False', '3'])}, 'shape': {shape}}}\n"
    made = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(120)
    choices = [
        b"PK\x05\x06" + bytes(18),
        b"\x80\x04K\x01.",
        rng.bytes(200),
        good[:at],
        good + b"\0",
        good[:at] + bytes([good[at] ^ (1 << int(rng.integers(8)))]) + good[at + 1 :],
        made,
        made,
    ]
    return choices[int(rng.integers(len(choices)))]


def odd_number(rng: np.random.Generator) -> Any:
    numbers = [0, -1, 2**53, 2**63 - 1, 2**64 - 1, math.nan, math.inf, -math.inf, 1e308, 0.5, [1.0], [], 10]
    return numbers[int(rng.integers(len(numbers)))]


def odd_text(rng: np.random.Generator) -> str:
    texts = ["x" * 10**6, "\x1b]0;owned\x07\x1b[2J", "\ud800", "{0}%s%n", '"><script>', "[/bold]", "", "num-examples"]
    return texts[int(rng.integers(len(texts)))]


def odd_reply(rng: np.random.Generator) -> RecordDict | Error:
    """Return a reply to a job that is wrong in one way or several."""
    if rng.random() < 0.05:
        return Error(int(rng.integers(-9, 99)), odd_text(rng))
    values = [np.full(s, rng.choice([1.0, np.nan, np.inf, 1e8, 1e17, 1e38]), np.float32) for s in MODEL]
    dtypes = ["float32", "float64", "O", "V0", "(1000000000,)f4", odd_text(rng), "<f4"]
    shapes = [MODEL[0], (10**12,), (10**400,), (10**5000,), (-1,), (1,) * 10**4, ()]
    odd = Array(
        str(dtypes[int(rng.integers(len(dtypes)))]),
        shapes[int(rng.integers(len(shapes)))],
        str(rng.choice(["numpy.ndarray", "pickle"], p=[0.8, 0.2])),
        odd_bytes(rng),
    )
    with np.errstate(all="ignore"):
        other = values[0].astype(rng.choice(["f4", "f8", "c8", "i8", "?", "f2"]))
    first = odd if rng.random() < 0.6 else Array(other)
    keys = KEYS if rng.random() < 0.7 else (odd_text(rng), "1")
    records: dict[str, Any] = {
        "arrays": ArrayRecord(dict(zip(keys, (first, Array(values[1])), strict=True))),
        "metrics": MetricRecord({"num-examples": odd_number(rng) if rng.random() < 0.3 else 10}),
    }
    if rng.random() < 0.3:
        records["metrics"] |= {odd_text(rng) or "x": odd_number(rng), **{f"m{i}": 1.0 for i in range(500)}}
    if rng.random() < 0.3:
        payload = [b"", rng.bytes(100), 5, "text"][int(rng.integers(4))]
        records["eafl.arrays"] = ConfigRecord({str(rng.choice(["payload", "refused", "onto"])): payload})
    if rng.random() < 0.1:
        records[odd_text(rng)] = MetricRecord({"num-examples": 10})
    if rng.random() < 0.1:
        del records[str(rng.choice(["arrays", "metrics"]))]
    return RecordDict(records)


def odd_evaluation(rng: np.random.Generator) -> RecordDict:
    names = ["accuracy", "loss", "accuracy-after", odd_text(rng) or "x"]
    values = {name: odd_number(rng) for name in names} | {f"e{i}": 1.0 for i in range(int(rng.choice([0, 500])))}
    return RecordDict({"metrics": MetricRecord({**values, "num-examples": odd_number(rng)})})


def odd_roster(rng: np.random.Generator) -> RecordDict:
    ids = [0, 1, -1, 4, 10**12, 999_999, 0.5]
    totals = [4, 0, -5, 5, 3, 10**6, 10**12 + 1]
    metrics = {
        "partition-id": ids[int(rng.integers(len(ids)))],
        "num-partitions": totals[int(rng.integers(len(totals)))],
        "num-examples": odd_number(rng),
        "trains": 1,
    }
    return RecordDict({"metrics": MetricRecord(metrics)})


class Longest:
    """Remembers the size of the longest event."""

    def __init__(self) -> None:
        self.size = 0

    def write(self, event: Any) -> None:
        self.size = max(self.size, len(json.dumps(event, default=str)))

    def close(self) -> None:
        """Nothing is open."""


def replies(quick: bool) -> Rows:
    """Run federations with one attacker until it has sent enough."""
    wanted, sent, number, began_s = 60 if quick else 500, Counter[str](), 0, time.perf_counter()
    outcomes, longest = Counter[str](), Longest()
    while sent["train"] < wanted:
        for codec in (None, Int8Codec(), LQGCMCodec()):
            for clock, strategy in (("virtual", AsyncEMAM), ("wall", AsyncEMAM), ("virtual", EMAM)):
                number += 1
                try:
                    outcomes[attacked(strategy, codec, clock, generator(1, "hostile", number), sent, longest)] += 1
                except Exception as error:
                    outcomes["wrong"] += 1
                    print(f"run {number}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
    outcomes["wrong"] += longest.size > LONGEST_EVENT
    return [
        *(row(f"replies: {kind} replies of the attacker", sent[kind], "replies") for kind in sorted(sent)),
        row("replies: runs that ended as they must", outcomes["ended"], "runs"),
        row("replies: longest event", longest.size, "bytes"),
        row("replies: time of all runs", time.perf_counter() - began_s, "s"),
        row("replies: wrong", outcomes["wrong"], "runs"),
    ]


def attacked(
    strategy: Callable[..., AsyncEMAM],
    codec: Codec[Any] | None,
    clock: str,
    rng: np.random.Generator,
    sent: Counter[str],
    longest: Longest,
) -> str:
    """Run a federation with an attacker; return "ended" if all is as it must be."""
    mods = [durable_state_mod(), *([compression_mod(codec)] if codec is not None else [])]
    honest = numpy_client_app(lambda context: Honest(), mods=mods)
    makers: dict[str, Callable[..., Any]] = {"train": odd_reply, "evaluate": odd_evaluation}
    makers |= {"query": odd_roster} if rng.random() < 0.5 else {}

    def app(message: Message, context: Any) -> Message:
        kind = message.metadata.message_type
        if context.node_config["partition-id"] != 0 or kind not in makers:
            return honest(message, context)
        sent[kind] += 1
        answer = makers[kind](rng)
        return Message(answer, reply_to=message)

    made = strategy(
        unit="merges",
        codec=codec,
        clock=clock,
        observer=longest,
        backoff_s=0.0,
        error_budget=50,
        evaluate_every=20,
        node_timeout_s=20,
    )
    initial = ArrayRecord({k: Array(np.zeros(s, np.float32)) for k, s in zip(KEYS, MODEL, strict=True)})
    made.start(InlineGrid(app, 4), initial, num_rounds=60, timeout=20)
    run = made.run
    assert run is not None
    json.dumps(run.client_scores, allow_nan=False)
    finite = all(np.isfinite(a.numpy()).all() for a in run.result.arrays.values())
    good = all(abs(scores["accuracy"] - 0.5) <= 0.5 for scores in run.client_scores.values())
    return "ended" if finite and good and run.version == 60 else "wrong"


PARTS: dict[str, Callable[[bool], Rows]] = {"payloads": payloads, "replies": replies}

if __name__ == "__main__":
    main()
