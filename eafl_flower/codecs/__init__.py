"""Codecs: arrays to bytes and back."""

from eafl_flower.codecs.emq.codec import EMQCodec
from eafl_flower.codecs.float32 import Float32Codec
from eafl_flower.codecs.framing import frame, layout_from_text, layout_hash, layout_to_text, unframe
from eafl_flower.codecs.int8 import Int8Codec, Int8State
from eafl_flower.codecs.keys import keyed_for
from eafl_flower.codecs.laq.codec import AQUILACodec, LAQCodec, LAQState
from eafl_flower.codecs.lqgcm.codebook import Codebook, fit_codebook, read_codebook, write_codebook
from eafl_flower.codecs.lqgcm.codec import LQGCMCodec
from eafl_flower.codecs.lqgcm.prediction import LQGCMState
from eafl_flower.codecs.lqgcm.published import PublishedLQGCMCodec
from eafl_flower.codecs.stream_state import StreamState

__all__ = [
    "AQUILACodec",
    "Codebook",
    "EMQCodec",
    "Float32Codec",
    "Int8Codec",
    "Int8State",
    "LAQCodec",
    "LAQState",
    "LQGCMCodec",
    "LQGCMState",
    "PublishedLQGCMCodec",
    "StreamState",
    "fit_codebook",
    "frame",
    "keyed_for",
    "layout_from_text",
    "layout_hash",
    "layout_to_text",
    "read_codebook",
    "unframe",
    "write_codebook",
]
