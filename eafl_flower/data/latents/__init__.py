"""Latents of images: values, files, whether they are of the same images, and how alike they are. Plain numpy."""

from eafl_flower.data.latents.files import read_latents, read_split_files, write_latents
from eafl_flower.data.latents.pairs import refuse_other_images
from eafl_flower.data.latents.similarity import linear_cka
from eafl_flower.data.latents.values import SPLITS, LatentRows, Latents, Split

__all__ = [
    "SPLITS",
    "LatentRows",
    "Latents",
    "Split",
    "linear_cka",
    "read_latents",
    "read_split_files",
    "refuse_other_images",
    "write_latents",
]
