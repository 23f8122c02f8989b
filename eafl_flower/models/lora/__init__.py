"""Encoders with adapters of any rank, and the files in which others read them."""

from eafl_flower.models.lora.adapted import Adapted, Layer, shared_encoder
from eafl_flower.models.lora.files import load_adapter, load_classifier, save_adapter, save_merged
from eafl_flower.models.lora.loading import require_transformers

__all__ = [
    "Adapted",
    "Layer",
    "load_adapter",
    "load_classifier",
    "require_transformers",
    "save_adapter",
    "save_merged",
    "shared_encoder",
]
