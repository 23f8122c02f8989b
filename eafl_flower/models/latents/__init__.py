"""Encoders of images and their latents: those of others, small ones of ours, and classifiers on top."""

from eafl_flower.models.latents.classifier import Fitting, LatentClassifier, fit_classifier
from eafl_flower.models.latents.torch_files import read_latents, read_split_files

__all__ = ["Fitting", "LatentClassifier", "fit_classifier", "read_latents", "read_split_files"]
