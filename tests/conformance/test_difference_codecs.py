from dataclasses import dataclass, replace

import numpy as np
import pytest

from eafl_flower.codecs import AQUILACodec, EMQCodec, Float32Codec, Int8Codec, LAQCodec, LQGCMCodec
from eafl_flower.codecs.lqgcm.published import PublishedLQGCMCodec
from eafl_flower.conformance import check_codec, check_difference_codec
from eafl_flower.errors import CodecError
from eafl_flower.protocols import DifferenceCodec
from eafl_flower.types import ArraySpec

MIXED = (ArraySpec((40, 5), "float64"), ArraySpec((3,), "bool"), ArraySpec((2,), "uint8"), ArraySpec((), "float32"))


@dataclass(frozen=True, kw_only=True)
class Int8Differences(Int8Codec):
    """Any codec becomes one for differences by saying how they go down."""

    @property
    def downlink(self):
        return Int8Codec(error_feedback=False)


OURS = {
    "lqgcm": LQGCMCodec(),
    "lqgcm, one tuple": LQGCMCodec(tuples=1, downlink_tuples=1),
    "lqgcm, no prediction": LQGCMCodec(prediction=False),
    "int8": Int8Differences(),
    "emq": EMQCodec(),
    "emq, by layer": EMQCodec(scope="layer"),
    "laq": LAQCodec(bits=4),
    "laq, updates": LAQCodec(bits=4, target="update"),
    "aquila": AQUILACodec(),
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("layout", [None, MIXED], ids=["default", "with doubles and booleans"])
def test_a_codec_for_differences_keeps_the_contract(name, layout):
    check_difference_codec(OURS[name], layout)


def test_a_codec_of_ones_own_keeps_both_contracts():
    check_codec(Int8Differences())
    check_codec(Int8Differences().downlink)


def test_whole_arrays_and_differences_are_told_apart():
    assert not isinstance(Float32Codec(), DifferenceCodec)
    assert not isinstance(Int8Codec(), DifferenceCodec)
    assert isinstance(LQGCMCodec(), DifferenceCodec)
    assert isinstance(PublishedLQGCMCodec(), DifferenceCodec)
    with pytest.raises(AssertionError, match="has no downlink"):
        check_difference_codec(Int8Codec())


@dataclass(frozen=True, kw_only=True)
class Broken(LQGCMCodec):
    """LQGCM with one fault."""

    fault: str = ""

    @property
    def downlink(self):
        return BrokenDown(fault=self.fault)

    def encode(self, state, arrays, rng):
        if self.fault == "takes what is pending for acknowledged":
            encoded, new = super().encode(replace(state, acknowledged=state.pending_counter), arrays, rng)
            return encoded, replace(new, acknowledged=state.acknowledged)
        if self.fault == "keeps what was forgotten" and not state.acknowledged:
            encoded, new = super().encode(replace(state, acknowledged=state.reference), arrays, rng)
            return encoded, replace(new, acknowledged=0)
        return super().encode(state, arrays, rng)

    def decode(self, state, payload):
        if self.fault == "decodes on top of anything":
            try:
                return super().decode(state, payload)
            except CodecError:
                arrays = tuple(
                    a * 0 for a in super().decode(super().init(state.layout), fresh_payload(state.layout))[0]
                )
                return arrays, replace(state, counter=99)
        return super().decode(state, payload)


def fresh_payload(layout):
    codec = LQGCMCodec()
    zeros = tuple(np.zeros(spec.shape, spec.dtype) for spec in layout)
    return codec.encode(codec.init(layout), zeros, None)[0].payload


@dataclass(frozen=True, kw_only=True)
class BrokenDown(Int8Codec):
    error_feedback: bool = False
    fault: str = ""

    def encode(self, state, arrays, rng):
        if self.fault == "codes too much":
            arrays = tuple(3 * a if a.dtype.kind == "f" else a for a in arrays)
        if self.fault == "remembers downloads":
            memory.append(1)
            arrays = tuple(a * 0.9 ** len(memory) if a.dtype.kind == "f" else a for a in arrays)
        return super().encode(state, arrays, rng)


memory = []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("codes too much", "code less rather than more than there is"),
        ("remembers downloads", "the downlink remembers nothing"),
        ("takes what is pending for acknowledged", "build on the acknowledged payload"),
        ("keeps what was forgotten", "build on the acknowledged payload"),
        ("decodes on top of anything", "raise CodecError if that is not there"),
    ],
)
def test_the_suite_names_the_fault(fault, message):
    with pytest.raises(AssertionError, match=message):
        check_difference_codec(Broken(fault=fault))
