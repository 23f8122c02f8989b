"""Adapters of unequal rank: factors, sums of their products, three forms of a merge, what others do, an aggregator."""

from eafl_flower.aggregation.lora.aggregator import LoRAAggregator, LoRAState
from eafl_flower.aggregation.lora.averaged import AveragedFactors, AveragedState
from eafl_flower.aggregation.lora.baselines import (
    fedra,
    flexlora,
    flora,
    hetlora,
    homolora,
    self_pruned,
    sliced,
    tail_norm,
)
from eafl_flower.aggregation.lora.factors import LowRank, Pair, balanced_pair, product_norm, scale_of, zero_matrix
from eafl_flower.aggregation.lora.forms import Trained, merged_layer
from eafl_flower.aggregation.lora.product import (
    Summed,
    Term,
    matrix_term,
    mean_of_matrices,
    mean_of_products,
    pair_term,
    sum_of_products,
)

__all__ = [
    "AveragedFactors",
    "AveragedState",
    "LoRAAggregator",
    "LoRAState",
    "LowRank",
    "Pair",
    "Summed",
    "Term",
    "Trained",
    "balanced_pair",
    "fedra",
    "flexlora",
    "flora",
    "hetlora",
    "homolora",
    "matrix_term",
    "mean_of_matrices",
    "mean_of_products",
    "merged_layer",
    "pair_term",
    "product_norm",
    "scale_of",
    "self_pruned",
    "sliced",
    "sum_of_products",
    "tail_norm",
    "zero_matrix",
]
