"""EMQ's bits and speed on real updates of a transformer, beside SZ3, int8 blocks, NF4, zlib and a copy.

    python benchmarks/emq.py [--small] [--repeats 15] [--store DIR]

Updates: ``transformer_updates``; bits and errors are of all 22.4 million values of each. SZ3 (``pip install pysz``;
left out without it) gets the quantum of EMQ as twice its absolute bound, without a predictor and with its usual one;
the shorter is the peer. So both round to the same grid, and the bits alone decide. EMQ's digits are those of three
settings: chosen for a tenth of relative error (the default), and base 2 with quanta of about 0.2 and 0.05 root mean
squares.

Errors are of L2, relative: of the whole vector, and the median over blocks of 4,096. Speed: one thread, contestants in
turn, medians of wall time, MB of raw float32 a second; beside SZ3 the median of the ratios within a turn. NF4 is 16
levels and one float16 scale for 64 values, in numpy.
"""

import argparse
import math
import statistics
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import row, write_rows
from threadpoolctl import threadpool_limits
from timing import medians, ratio, seconds_of
from transformer_updates import stored

from eafl_flower.codecs import EMQCodec, Int8Codec
from eafl_flower.codecs.emq.quantiser import exponent_of, norms_of
from eafl_flower.core.rng import generator
from eafl_flower.protocols import Codec
from eafl_flower.types import Arrays, layout_of

Vector = NDArray[np.float32]
BLOCK = 4096
NF4 = np.array(
    [
        -1,
        -0.6962,
        -0.5251,
        -0.3949,
        -0.2844,
        -0.1848,
        -0.0911,
        0,
        0.0796,
        0.1609,
        0.2461,
        0.3379,
        0.4407,
        0.5626,
        0.723,
        1,
    ],
    np.float32,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a model of 230,000 parameters, in seconds")
    parser.add_argument("--repeats", type=int, default=15, help="turns of the contestants (default 15)")
    parser.add_argument("--store", type=Path, help="folder to keep updates in, for another go (default: none)")
    arguments = parser.parse_args()
    sz = sz3()
    if sz is None:
        print("SZ3 is left out: pip install pysz")
    rows: list[dict[str, Any]] = []
    for kind, arrays in stored(arguments.store, small=arguments.small).items():
        rows += update_rows(kind, arrays, arguments.repeats, sz)
    write_rows("emq-small" if arguments.small else "emq", rows)


def update_rows(kind: str, arrays: Arrays, repeats: int, sz: Any) -> list[dict[str, Any]]:
    x = np.concatenate([a.reshape(-1) for a in arrays])
    rms = math.sqrt(float(np.mean(x.astype(np.float64) ** 2)))
    rows = []
    for name, codec in {
        "EMQ": EMQCodec(),
        "EMQ binary, 0.2 rms": EMQCodec(variant="binary", choose_digits=False, digits=binary_digits(x, 0.2 * rms)),
        "EMQ binary, 0.05 rms": EMQCodec(variant="binary", choose_digits=False, digits=binary_digits(x, 0.05 * rms)),
    }.items():
        encode, decode, payload, decoded = turns(codec, arrays)
        grid = codec._grid(x)
        paper_bits = grid.head_bits + grid.round(x, np.empty(x.size, np.int32))[1]
        contestants = {"encode": encode, "decode": decode}
        ours = 8 * len(payload) / x.size
        rows += [
            row(f"{kind}, {name}: relative error", relative(decoded, x), ""),
            row(f"{kind}, {name}: median error of blocks", by_block(decoded, x), ""),
            row(f"{kind}, {name}: paper's count", paper_bits / x.size, "bit"),
        ]
        if sz is not None:
            best = min((sz(x, grid.quantum / 2, algorithm) for algorithm in sz.algorithms), key=lambda c: c[0].nbytes)
            packed, unpack, pack = best
            theirs, its = 8 * packed.nbytes / x.size, unpack()
            holds = {"relative error": (relative, decoded, its), "median error of blocks": (by_block, decoded, its)}
            rows.append(
                row(f"{kind}, {name}", ours, "bit", peer="SZ3", peer_value=theirs, ratio=theirs / ours, aim=1 / 0.95)
            )
            for what, (measure, a, b) in holds.items():
                mine, other = measure(a, x), measure(b, x)
                told = f"{kind}, {name}: {what}"
                rows.append(
                    row(told, mine, "", peer="SZ3", peer_value=other, ratio=other / mine if mine else 1.0, aim=0.999)
                )
            contestants |= {"encode, SZ3": pack, "decode, SZ3": unpack}
        seconds = seconds_of(contestants, repeats)
        for direction, aim in (("encode", 0.7), ("decode", 1.0)):
            speed = 4e-6 * x.size / statistics.median(seconds[direction])
            rows.append(
                row(f"{kind}, {name}: {direction}", speed, "MB/s", peer="300 MB/s", peer_value=300.0, ratio=speed / 300)
            )
            if its := seconds.get(f"{direction}, SZ3"):
                its_speed = 4e-6 * x.size / statistics.median(its)
                rows.append(
                    row(
                        f"{kind}, {name}: {direction}",
                        speed,
                        "MB/s",
                        peer="SZ3",
                        peer_value=its_speed,
                        ratio=ratio(its, seconds[direction]),
                        aim=aim,
                    )
                )
    return rows + peer_rows(kind, arrays, x, repeats)


def peer_rows(kind: str, arrays: Arrays, x: Vector, repeats: int) -> list[dict[str, Any]]:
    encode, decode, payload, int8 = turns(Int8Codec(error_feedback=False), arrays)
    four = nf4(x)
    raw, packed, room = x.tobytes(), zlib.compress(x.tobytes(), 1), np.empty_like(x)
    seconds = medians(
        {
            "encode, int8 blocks": encode,
            "decode, int8 blocks": decode,
            "encode, NF4": lambda: nf4(x),
            "decode, NF4": lambda: from_nf4(*four, x.size),
            "encode, zlib": lambda: zlib.compress(raw, 1),
            "decode, zlib": lambda: zlib.decompress(packed),
            "copy": lambda: np.copyto(room, x),
        },
        min(repeats, 3),
    )
    sizes = {
        "int8 blocks": (8 * len(payload), int8),
        "NF4": (8 * (four[0].nbytes + four[1].nbytes), from_nf4(*four, x.size)),
        "zlib": (8 * len(packed), x),
    }
    rows = []
    for name, (bits, decoded) in sizes.items():
        rows += [
            row(f"{kind}, {name}", bits / x.size, "bit"),
            row(f"{kind}, {name}: relative error", relative(decoded, x), ""),
            row(f"{kind}, {name}: median error of blocks", by_block(decoded, x), ""),
        ]
    return rows + [row(f"{kind}, {name}", 4e-6 * x.size / took, "MB/s") for name, took in seconds.items()]


def turns(codec: Codec[Any], arrays: Arrays) -> tuple[Callable[[], Any], Callable[[], Any], bytes, Vector]:
    state, rng = codec.init(layout_of(arrays)), generator(0, "benchmark", "emq")
    payload = codec.encode(state, arrays, rng)[0].payload
    decoded = np.concatenate([a.reshape(-1) for a in codec.decode(state, payload)[0]])
    return lambda: codec.encode(state, arrays, rng), lambda: codec.decode(state, payload), payload, decoded


def sz3() -> Any:
    """Return what packs a vector by a bound and an algorithm, and tells how to unpack and pack again; None without."""
    try:
        from pysz import sz, szAlgorithm, szConfig, szErrorBoundMode
    except ImportError:
        return None

    def contestant(x: Vector, bound: float, algorithm: Any) -> tuple[Any, Callable[[], Any], Callable[[], Any]]:
        config = szConfig()
        config.errorBoundMode, config.absErrorBound, config.cmprAlgo = szErrorBoundMode.ABS, bound, algorithm
        packed = sz.compress(x, config)[0]

        def unpack() -> Any:
            unpacked = sz.decompress(packed, np.float32, x.shape)
            return unpacked[0] if isinstance(unpacked, tuple) else unpacked

        return packed, unpack, lambda: sz.compress(x, config)

    contestant.algorithms = (szAlgorithm.NOPRED, szAlgorithm.INTERP_LORENZO)  # type: ignore[attr-defined]
    return contestant


def binary_digits(x: Vector, quantum: float) -> int:
    """Return the digits of base 2 whose quantum is the power of two below ``quantum``."""
    return exponent_of(norms_of(x)[0], 2) - exponent_of(quantum, 2)


def nf4(x: Vector) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    blocks = np.zeros(-(-x.size // 64) * 64, np.float32)
    blocks[: x.size] = x
    blocks = blocks.reshape(-1, 64)
    scales = np.maximum(np.abs(blocks).max(axis=1), 2.0**-24).astype(np.float16)
    codes = np.searchsorted((NF4[1:] + NF4[:-1]) / 2, blocks / scales.astype(np.float32)[:, None]).astype(np.uint8)
    return (codes[:, ::2] | codes[:, 1::2] << 4).reshape(-1), scales


def from_nf4(codes: NDArray[np.uint8], scales: NDArray[np.float16], size: int) -> Vector:
    levels = NF4[np.stack([codes & 15, codes >> 4], axis=1).reshape(-1, 64)]
    return (levels * scales.astype(np.float32)[:, None]).reshape(-1)[:size]


def relative(decoded: Vector, x: Vector) -> float:
    wide = x.astype(np.float64)
    return float(np.linalg.norm(decoded - wide) / np.linalg.norm(wide))


def by_block(decoded: Vector, x: Vector) -> float:
    whole = max(1, x.size // BLOCK) * min(BLOCK, x.size)
    wide, off = (v[:whole].astype(np.float64).reshape(-1, min(BLOCK, x.size)) for v in (x, x - decoded))
    norms = np.linalg.norm(wide, axis=1)
    return float(np.median(np.linalg.norm(off, axis=1)[norms > 0] / norms[norms > 0]))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
