import os

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from eafl_flower.engines.packing import LARGE_BYTES, pack, packed, unpack


def test_what_is_packed_comes_back():
    large = os.urandom(LARGE_BYTES)
    content = RecordDict(
        {
            "arrays": ArrayRecord([np.arange(100_000, dtype=np.float32), np.zeros(2)]),
            "config": ConfigRecord({"payload": large, "payloads": [large, b"short"], "name": "x"}),
        }
    )
    value = packed(content)
    assert unpack(value.pickled, value.buffers) == content


def test_large_strings_stay_outside_the_pickle_and_each_is_there_once():
    large = os.urandom(LARGE_BYTES)
    pickled, strings = pack({"a": large, "b": [large, large[:-1]], "c": bytes(LARGE_BYTES)})
    assert len(pickled) < LARGE_BYTES + 1000  # the one that is a byte too short
    assert len(strings) == 2
    assert strings[0] is large


def test_what_is_unpacked_owns_its_memory():
    value = packed(bytes(LARGE_BYTES))
    memory = [np.array(buffer) for buffer in value.buffers]
    data = unpack(value.pickled, memory)
    memory[0][:] = 1
    assert data == bytes(LARGE_BYTES)
