"""A small text encoder that needs no download: how it is trained, and where those are that were made here."""

from eafl_flower.models.encoder.settings import EncoderSettings
from eafl_flower.models.encoder.store import MadeEncoder, encoder_path, made_encoders

__all__ = ["EncoderSettings", "MadeEncoder", "encoder_path", "made_encoders"]
