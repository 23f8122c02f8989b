"""Codecs: arrays to bytes and back."""

from eafl_flower.codecs.float32 import Float32Codec, Float32State
from eafl_flower.codecs.framing import frame, layout_from_text, layout_hash, layout_to_text, unframe
from eafl_flower.codecs.int8 import Int8Codec, Int8State
from eafl_flower.codecs.lqgcm import LQGCMCodec, LQGCMState

__all__ = [
    "Float32Codec",
    "Float32State",
    "Int8Codec",
    "Int8State",
    "LQGCMCodec",
    "LQGCMState",
    "frame",
    "layout_from_text",
    "layout_hash",
    "layout_to_text",
    "unframe",
]
