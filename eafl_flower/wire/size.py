"""How large records are when Flower serialises them, without serialising them.

Flower sends a record as protocol buffers, an array as a description and its chunks, and each of these objects
with a header that names its type, the SHA-256 of what belongs to it and its length. Making and hashing all this
takes longer than a small client trains, and the run needs only the size. Tests hold it against Flower's objects.
"""

from collections.abc import Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, RecordDict

from eafl_flower.engines.flower_internals import CHUNK_BYTES

SHA_BYTES = 64  # in hexadecimal
MAX_SINT = 2**63 - 1
MOST_CACHED = 100  # letters and dimensions of an array's description: a client may send any
ARRAY_NAMES = len('{"dtype": , "shape": , "stype": , "arraychunk_ids": }')


def framed_bytes(content: RecordDict) -> int:
    """Return the size of the records and all that belongs to them as Flower serialises them, in bytes.

    Message headers are not counted; equal arrays, which Flower sends once, count as often as they occur.
    """
    return sum(record_bytes(record) for record in content.values())


def record_bytes(record: Any) -> int:
    """Return the size of one record and all that belongs to it, in bytes."""
    if isinstance(record, ArrayRecord):
        keys = sum(_json_bytes(key) + SHA_BYTES + 6 for key in record)  # {"key": "...", "key": "..."}
        own = _with_header("ArrayRecord", len(record), max(2, keys))
        return own + sum(_array_bytes(array) for array in record.values())
    body = 0
    for key, value in record.items():
        key_bytes, value_bytes = _text_bytes(key), _value_bytes(value)
        item = 2 + _varint_bytes(key_bytes) + key_bytes + _varint_bytes(value_bytes) + value_bytes
        body += 1 + _varint_bytes(item) + item
    return _with_header(type(record).__name__, 0, body)


def _array_bytes(array: FlowerArray) -> int:
    described = array.dtype, array.stype, array.shape
    compute = _described_bytes if sum(map(len, described)) > MOST_CACHED else _cached_bytes
    return compute(*described, len(array.data))


def _described_bytes(dtype: str, stype: str, shape: tuple[int, ...], data_bytes: int) -> int:
    full, rest = divmod(data_bytes, CHUNK_BYTES)
    chunks = [CHUNK_BYTES] * full + [rest] * (rest > 0)
    body = ARRAY_NAMES + _list_letters(shape) + _list_letters(range(len(chunks))) + _json_bytes(dtype + stype) + 2
    return _with_header("Array", len(chunks), body) + sum(_with_header("ArrayChunk", 0, size) for size in chunks)


_cached_bytes = lru_cache(maxsize=256)(_described_bytes)


def _list_letters(numbers: Sequence[int]) -> int:
    """Length of a list of integers in JSON; near enough for those of hundreds of digits, which only a liar sends."""
    digits = (len(str(n)) if n.bit_length() < 1024 else n.bit_length() * 3 // 10 for n in numbers)
    return sum(digits) + 2 * max(1, len(numbers))


def _with_header(kind: str, num_children: int, body: int) -> int:
    """Return the size of an object: its type, the ids of its children and its length before its body."""
    return len(kind) + max(0, (SHA_BYTES + 1) * num_children - 1) + len(str(body)) + 3 + body


def _value_bytes(value: Any) -> int:
    """Return the size of a value as a protocol buffer of its own."""
    if isinstance(value, float):
        return 9
    if isinstance(value, bool):
        return 2
    if isinstance(value, int):
        return 1 + _integer_bytes(value, unsigned=value > MAX_SINT)
    if isinstance(value, list):
        inner = _list_bytes(value)
        return 2 + _varint_bytes(inner) + inner
    size = _text_bytes(value)
    return 1 + _varint_bytes(size) + size


def _list_bytes(values: Sequence[Any]) -> int:
    if not values:
        return 0
    if isinstance(values[0], str | bytes):
        sizes = [_text_bytes(value) for value in values]
        return sum(1 + _varint_bytes(size) + size for size in sizes)
    if isinstance(values[0], float):
        packed = 8 * len(values)
    elif isinstance(values[0], bool):
        packed = len(values)
    else:
        unsigned = any(value > MAX_SINT for value in values)
        packed = sum(_integer_bytes(int(value), unsigned=unsigned) for value in values)
    return 1 + _varint_bytes(packed) + packed


def _integer_bytes(value: int, *, unsigned: bool) -> int:
    return _varint_bytes(value if unsigned else 2 * value if value >= 0 else -2 * value - 1)


def _varint_bytes(value: int) -> int:
    return 1 if value < 128 else (value.bit_length() + 6) // 7


def _text_bytes(text: str | bytes) -> int:
    return len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode(errors="surrogatepass"))


def _json_bytes(text: str) -> int:
    return len(encode_basestring_ascii(text))
