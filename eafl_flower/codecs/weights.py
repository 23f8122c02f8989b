"""Codecs whose uploads hold what a client trained: floating arrays whole, not as differences."""

from typing import Any

from eafl_flower.protocols import Codec, WeightCodec


def codes_weights(codec: Codec[Any] | None) -> bool:
    """Whether uploads by ``codec`` hold what was trained, as ``core.arrays.trained`` makes and ``since`` undoes it."""
    return isinstance(codec, WeightCodec) and codec.codes_weights
