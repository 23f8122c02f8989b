"""Checks for the seams: call one in a test of your own part."""

from eafl_flower.conformance.aggregator import check_aggregator
from eafl_flower.conformance.codec import check_codec
from eafl_flower.conformance.difference_codec import check_difference_codec

__all__ = ["check_aggregator", "check_codec", "check_difference_codec"]
