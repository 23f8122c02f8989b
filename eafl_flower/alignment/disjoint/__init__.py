"""Alignment and channel apart: maps between latent spaces, selections of what is sent, links that undo the channel."""

from eafl_flower.alignment.disjoint.aligners import Aligner, CanonicalCorrelation, Procrustes, Ridge
from eafl_flower.alignment.disjoint.chain import Chain
from eafl_flower.alignment.disjoint.links import Link, broadcast_links, own_link
from eafl_flower.alignment.disjoint.maps import LatentSums, LinearMap, Map, latent_sums
from eafl_flower.alignment.disjoint.relative import Relative, RelativeMap
from eafl_flower.alignment.disjoint.selection import EigenK, FirstK, Selection, TopK, eigen_k, features_of

__all__ = [
    "Aligner",
    "CanonicalCorrelation",
    "Chain",
    "EigenK",
    "FirstK",
    "LatentSums",
    "LinearMap",
    "Link",
    "Map",
    "Procrustes",
    "Relative",
    "RelativeMap",
    "Ridge",
    "Selection",
    "TopK",
    "broadcast_links",
    "eigen_k",
    "features_of",
    "latent_sums",
    "own_link",
]
