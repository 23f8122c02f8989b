from dataclasses import dataclass, replace

import numpy as np
import pytest

from eafl_flower.codecs import AQUILACodec, EMQCodec, Float32Codec, Int8Codec, LAQCodec, LQGCMCodec
from eafl_flower.conformance import check_codec
from eafl_flower.errors import CodecError
from eafl_flower.types import ArraySpec, Encoded

OURS = {
    "float32": Float32Codec(),
    "int8": Int8Codec(),
    "int8, small blocks": Int8Codec(block_size=7),
    "int8, one block": Int8Codec(block_size=1000),
    "int8, no feedback": Int8Codec(error_feedback=False),
}
MIXED = (
    ArraySpec((40, 5), "float64"),
    ArraySpec((3,), "bool"),
    ArraySpec((9, 9), "float16"),
    ArraySpec((2,), "uint8"),
    ArraySpec((), "float32"),
)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("layout", [None, MIXED], ids=["default", "with halves and doubles"])
def test_codec_keeps_the_contract(name, layout):
    check_codec(OURS[name], layout)


GREEDY = {
    "emq": EMQCodec(),
    "emq, three digits": EMQCodec(choose_digits=False, digits=3),
    "emq, binary": EMQCodec(variant="binary"),
    "emq, float": EMQCodec(variant="float"),
    "emq, fixed": EMQCodec(variant="fixed"),
    "emq, by layer": EMQCodec(scope="layer"),
    "laq": LAQCodec(),
    "laq, authors": LAQCodec(bits=3, rounding="authors"),
    "aquila": AQUILACodec(),
    "lqgcm": LQGCMCodec(),
    "lqgcm, one tuple": LQGCMCodec(tuples=1),
    "lqgcm, no prediction": LQGCMCodec(prediction=False),
    "lqgcm, downlink": LQGCMCodec().downlink,
}


@pytest.mark.parametrize("name", GREEDY)
@pytest.mark.parametrize("layout", [None, MIXED], ids=["default", "with halves and doubles"])
def test_greedy_codec_keeps_the_contract(name, layout):
    check_codec(GREEDY[name], layout, is_idempotent=False)


@dataclass(frozen=True, kw_only=True)
class Broken(Int8Codec):
    """The int8 codec with one fault."""

    fault: str = ""

    def encode(self, state, arrays, rng):
        given = state
        if self.fault == "writes to its input":
            arrays[0][...] = 0
        if self.fault == "hides NaN":
            arrays = tuple(np.nan_to_num(a) for a in arrays)
        if self.fault == "forgets acknowledgements":
            state = replace(state, acknowledged=state.counter)
        if self.fault == "uses a stream for counter 0" and state.counter == 0:
            state = replace(state, counter=1)
        encoded, state = super().encode(state, arrays, rng)
        if self.fault == "forgets acknowledgements":
            state = replace(state, acknowledged=given.acknowledged)
        if self.fault == "counts by itself":
            state = replace(state, counter=state.counter + 1)
        if self.fault == "understates its error":
            encoded = replace(encoded, error=encoded.error / 2)
        if self.fault == "estimates bits":
            encoded = replace(encoded, bits_paper=1.5)
        if self.fault == "has a memory outside of its state":
            memory.append(1)
            encoded = Encoded(payload=encoded.payload, bits_paper=len(memory), error=encoded.error)
        return encoded, state

    def decode(self, state, payload):
        if self.fault == "decodes a prefix":
            payload = payload[: len(super().encode(state, zeros(state.layout), None)[0].payload)]
        if self.fault == "drops the counter":
            return super().decode(state, payload)[0], state
        try:
            arrays, state = super().decode(state, payload)
        except CodecError as error:
            if self.fault == "raises what it likes":
                raise KeyError(*error.args) from error
            raise
        if self.fault == "returns views":
            for array in arrays:
                array.flags.writeable = False
        if self.fault == "drifts":
            arrays = tuple(1.01 * a if a.dtype.kind == "f" else a for a in arrays)
        return arrays, state


memory = []


def zeros(layout):
    return tuple(np.zeros(spec.shape, spec.dtype) for spec in layout)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("writes to its input", "read-only"),
        ("hides NaN", "with nan in array 0 were encoded: raise CodecError"),
        ("forgets acknowledgements", "was never acknowledged changed the next one"),
        ("uses a stream for counter 0", "counter 0 used or changed"),
        ("counts by itself", "they belong to the caller"),
        ("understates its error", "state the error of what the receiver gets"),
        ("estimates bits", "bits_paper is 1.5"),
        ("has a memory outside of its state", "refused changed the state"),
        ("decodes a prefix", "a payload with 1 bytes more was decoded"),
        ("drops the counter", "returned a state with counter 0"),
        ("raises what it likes", "KeyError.*: decode must raise CodecError, and nothing else"),
        ("returns views", "decode must return arrays of its own"),
        ("drifts", "state the error"),
    ],
)
def test_the_suite_names_the_fault(fault, message):
    with pytest.raises((AssertionError, ValueError), match=message):
        check_codec(Broken(fault=fault))
