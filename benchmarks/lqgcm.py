"""The LQGCM codec: its speed, and how much of stored updates its 88-bit tuples carry.

    python benchmarks/lqgcm.py [--repeats 30] [--sets alp-geolife,alp-unsw] [--task fractal] [--store DIR]

Updates are those of the preset's run with exact (float32) updates, from the common initial model on: 30 consecutive
ones of each of five clients, the other clients training along, so that a client's consecutive updates lie as far
apart as in the run. Codecs go through each client's 30 in order, as in a run without losses; the second 15 are
scored, the first are what codebooks are fitted on. dB are -10 log10(|u - û|² / |u|²), means over the 75 scored.

Ratios of dB rows are ratios of error energies, peer / ours: above 1 is better than the peer.

* "ideal" keeps the k largest values of what the predictor leaves, with their signs and one mean magnitude, at
  log2(binomial(d, k)) + k + 32 bits (magnitude and predictor gain as float16): no code of positions is shorter. Its
  k is the best of those that fit into the bits of our payload, header included.
* The steps in between tell where the distance to it comes from. "without the header": only the bits of the tuples.
  "as many positions": at most as many as our tuples name, five each. "five to a block": our own positions and
  signs, one magnitude for all of them. The last step, a gain for each tuple, is LQGCM itself.

Speed is that of one update of the set, one thread, contestants in turn, medians: MB of raw float32 a second. zlib
level 1 compresses the float32 bytes and hardly can. Top-k with int8 in numpy keeps as many values as our tuples
name: argpartition, positions as u32, codes as int8, one scale; it does not predict, check or verify anything.
"""

import argparse
import logging
import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import row, write_rows
from stored_updates import UPDATES, Streams, stored
from threadpoolctl import threadpool_limits
from timing import medians

from eafl_flower.codecs import LQGCMCodec, PublishedLQGCMCodec, fit_codebook
from eafl_flower.codecs.lqgcm.frame import HEADER_BYTES
from eafl_flower.codecs.lqgcm.tuples import BLOCK, TUPLE, positions_and_signs, words_of
from eafl_flower.core.rng import generator
from eafl_flower.protocols import Codec
from eafl_flower.types import Arrays, layout_of

SETS = ("alp-geolife", "alp-ngsim", "alp-ton-weather", "alp-unsw")
ALLOWED_DB = 1.7

Vector = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30, help="turns of the contestants (default 30)")
    parser.add_argument("--sets", default=",".join(SETS), help=f"presets, comma separated (default {','.join(SETS)})")
    parser.add_argument("--task", default="fractal", help="task.name of all sets (default fractal)")
    parser.add_argument("--store", type=Path, help="folder to keep updates in, for another go (default: none)")
    arguments = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    rows, decibels = [], []
    for name in arguments.sets.split(","):
        streams = stored(name, arguments.task, arguments.store)
        scores = scored(streams)
        decibels.append(scores)
        rows += decibel_rows(name, streams, scores)
    means = {name: float(np.mean([scores[name] for scores in decibels])) for name in decibels[0]}
    rows += decibel_rows("mean", [], means, aim=10 ** (-ALLOWED_DB / 10))
    rows += speed_rows(streams[0], arguments.repeats, f"{name}'s update")
    large = generator(0, "benchmark", "lqgcm").standard_normal((1024, 1024), dtype=np.float32) ** 3
    rows += speed_rows([(large,), (large,)], max(3, arguments.repeats // 10), "random update")
    write_rows("lqgcm", rows)


# Decibels.


def scored(streams: Streams) -> dict[str, float]:
    """Return the mean dB of each contestant over the second half of each client's updates."""
    half = UPDATES // 2
    first = np.concatenate([blocks_of(u) for client in streams for u in client[:half]])
    book = fit_codebook("rvq", first, generator(0, "benchmark", "codebook"))
    ours = [coded(LQGCMCodec(), client) for client in streams]
    payload_bytes = [[len(payload) for payload in payloads] for _, payloads in ours]
    tuple_bits = [[8 * (size - HEADER_BYTES) for size in sizes] for sizes in payload_bytes]
    counts = [[(size - HEADER_BYTES) // TUPLE.itemsize * 5 for size in sizes] for sizes in payload_bytes]
    flat = [[pooled(u) for u in client] for client in streams]
    ideal = [topk(f, [ideal_k(f[0].size, 8 * b) for b in s]) for f, s in zip(flat, payload_bytes, strict=True)]
    bare = [topk(f, [ideal_k(f[0].size, b) for b in bits]) for f, bits in zip(flat, tuple_bits, strict=True)]
    results = {
        "LQGCM": [db for db, _ in ours],
        "ideal": ideal,
        "without the header": bare,
        "as many positions": [topk(f, k) for f, k in zip(flat, counts, strict=True)],
        "five to a block, one magnitude": [one_magnitude(client) for client in streams],
        "LQGCM without prediction": [coded(LQGCMCodec(prediction=False), client)[0] for client in streams],
        "LQGCM, trained RVQ": [coded(LQGCMCodec(mode="rvq", codebook=book), client)[0] for client in streams],
        "published codec": [coded(PublishedLQGCMCodec(), client)[0] for client in streams],
    }
    scores = {name: float(np.mean([client[half:] for client in values])) for name, values in results.items()}
    pairs = [(a, b) for client in flat for a, b in zip(client[half:], client[half - 1 :], strict=False)]
    scores["cos2"] = float(np.mean([(a @ b) ** 2 / ((a @ a) * (b @ b)) for a, b in pairs]))
    scores["bytes"] = float(np.mean([sizes[half:] for sizes in payload_bytes]))
    return scores


def coded(codec: Codec[Any], client: Sequence[Arrays]) -> tuple[list[float], list[bytes]]:
    """Return the dB and the payloads of a client's updates, all of which arrive."""
    state, decibels, payloads = codec.init(layout_of(client[0])), [], []
    for counter, update in enumerate(client, 1):
        state = replace(state, counter=counter, acknowledged=counter - 1)
        encoded, state = codec.encode(state, update, generator(0, "benchmark", counter))
        decibels.append(-20 * math.log10(max(encoded.error, 1e-12)))
        payloads.append(encoded.payload)
    return decibels, payloads


def topk(client: Sequence[Vector], counts: Iterable[int]) -> list[float]:
    """Return the dB of the largest values, at most ``counts``, with signs and one mean magnitude."""

    def code(rest: Vector, most: int) -> Vector:
        order = np.argsort(-np.abs(rest), kind="stable")[:most]
        taken_off = np.cumsum(np.abs(rest[order])) ** 2 / np.arange(1, most + 1)
        places = order[: int(np.argmax(taken_off)) + 1]
        return spread(rest, places, np.where(rest[places] < 0, -1.0, 1.0))

    return predicted(client, [lambda rest, k=k: code(rest, k) for k in counts])


def one_magnitude(client: Sequence[Arrays]) -> list[float]:
    """Return the dB of LQGCM's positions and signs with the one best magnitude for all of them."""
    codec, size = LQGCMCodec(prediction=False), pooled(client[0]).size
    layout = layout_of((np.zeros(size, np.float32),))

    def code(rest: Vector) -> Vector:
        encoded, _ = codec.encode(codec.init(layout), (rest.astype(np.float32),), generator(0))
        tuples = np.frombuffer(encoded.payload, TUPLE, offset=HEADER_BYTES)
        positions, negative = positions_and_signs(words_of(tuples))
        places = tuples["block"][:, None].astype(int) * BLOCK + positions
        inside = places < size
        return spread(rest, places[inside], np.where(negative, -1.0, 1.0)[inside])

    return predicted([pooled(update) for update in client], [code] * len(client))


def spread(rest: Vector, places: NDArray[np.int64], signs: Vector) -> Vector:
    """Return the least-squares multiple of signs at places, some of which may occur again."""
    shape = np.zeros_like(rest)
    np.add.at(shape, places, signs)
    energy = shape @ shape
    return shape * (rest @ shape / energy) if energy else shape


def predicted(client: Sequence[Vector], codes: Sequence[Callable[[Vector], Vector]]) -> list[float]:
    """Return the dB of codes of what LQGCM's prediction leaves, each from its own reconstruction."""
    history, decibels = np.zeros_like(client[0]), []
    for update, code in zip(client, codes, strict=True):
        energy = history @ history
        prediction = history * np.clip(update @ history / energy, 0, 1.5) if energy else history
        history = prediction + code(update - prediction)
        decibels.append(-10 * math.log10(np.sum((update - history) ** 2) / (update @ update)))
    return decibels


def ideal_k(size: int, bits: int) -> int:
    """Return how many positions and signs fit into bits, beside two float16."""
    k = 0
    while k < size and log2_binomial(size, k + 1) + k + 1 + 32 <= bits:
        k += 1
    return k


def log2_binomial(n: int, k: int) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def pooled(arrays: Arrays) -> Vector:
    return np.concatenate([a.reshape(-1) for a in arrays]).astype(np.float64)


def blocks_of(arrays: Arrays) -> NDArray[np.float32]:
    flat = pooled(arrays)
    padded = np.zeros(-(-flat.size // BLOCK) * BLOCK, np.float32)
    padded[: flat.size] = flat
    return padded.reshape(-1, BLOCK)


def decibel_rows(
    name: str, streams: Streams, scores: dict[str, float], aim: float | None = None
) -> list[dict[str, Any]]:
    size = f", {pooled(streams[0][0]).size:,} values" if streams else ""
    rows = [
        row(f"{name}: payload{size}", scores["bytes"], "bytes"),
        row(f"{name}: cos² of consecutive updates", scores["cos2"], ""),
    ]
    ideal = scores["ideal"]
    for contestant, decibels in scores.items():
        if contestant in ("bytes", "cos2"):
            continue
        against = {} if contestant == "ideal" else {"peer": "ideal", "peer_value": ideal}
        if against:
            against["ratio"] = 10 ** ((decibels - ideal) / 10)
        rows.append(row(f"{name}: {contestant}", decibels, "dB", **against, aim=aim if contestant == "LQGCM" else None))
    return rows


# Speed.


def speed_rows(updates: Sequence[Arrays], repeats: int, what: str) -> list[dict[str, Any]]:
    """Time one update after another of the same client, with all that goes with it."""
    codec, layout = LQGCMCodec(), layout_of(updates[0])
    sender, receiver = replace(codec.init(layout), counter=1), codec.init(layout)
    first, sender = codec.encode(sender, updates[0], generator(0))
    _, receiver = codec.decode(receiver, first.payload)
    sender = replace(sender, counter=2, acknowledged=1)
    payload = codec.encode(sender, updates[1], generator(0))[0].payload
    down, fresh = codec.downlink, replace(codec.init(layout), counter=1)
    down_payload = down.encode(fresh, updates[1], generator(0))[0].payload
    raw = b"".join(a.tobytes() for a in updates[1])
    packed, k = zlib.compress(raw, 1), 5 * codec.num_tuples(layout)
    int8 = topk_int8(np.frombuffer(raw, np.float32), k)
    seconds = medians(
        {
            "encode": lambda: codec.encode(sender, updates[1], generator(0)),
            "decode": lambda: codec.decode(receiver, payload),
            "encode, downlink": lambda: down.encode(fresh, updates[1], generator(0)),
            "decode, downlink": lambda: down.decode(codec.init(layout), down_payload),
            "encode, zlib": lambda: zlib.compress(b"".join(a.tobytes() for a in updates[1]), 1),
            "decode, zlib": lambda: np.frombuffer(zlib.decompress(packed), np.float32).copy(),
            "encode, top-k": lambda: topk_int8(np.concatenate([a.reshape(-1) for a in updates[1]]), k),
            "decode, top-k": lambda: from_topk_int8(int8, len(raw) // 4),
        },
        repeats,
    )
    megabytes, rows = len(raw) / 1e6, []
    for direction in ("encode", "decode"):
        for way in ("", ", downlink"):
            name = f"{what}, {len(raw) // 4:,} values: {direction}{way}"
            rows.append(row(name, 1e3 * seconds[direction + way], "ms"))
            for peer, label in (("zlib", "zlib level 1"), ("top-k", "top-k + int8 in numpy")):
                ours, its = megabytes / seconds[direction + way], megabytes / seconds[f"{direction}, {peer}"]
                rows.append(row(name, ours, "MB/s", peer=label, peer_value=its, ratio=ours / its))
    return rows


def topk_int8(values: NDArray[np.float32], k: int) -> bytes:
    places = np.argpartition(np.abs(values), values.size - k)[values.size - k :].astype(np.uint32)
    scale = np.float32(np.abs(values[places]).max() / 127)
    return scale.tobytes() + places.tobytes() + np.rint(values[places] / scale).astype(np.int8).tobytes()


def from_topk_int8(payload: bytes, size: int) -> NDArray[np.float32]:
    k = (len(payload) - 4) // 5
    values = np.zeros(size, np.float32)
    codes = np.frombuffer(payload, np.int8, k, 4 + 4 * k)
    values[np.frombuffer(payload, np.uint32, k, 4)] = codes * np.frombuffer(payload, np.float32, 1)
    return values


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
