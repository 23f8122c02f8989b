"""Checks for the seams: call one in a test of your own part."""

from eafl_flower.conformance.aggregator import check_aggregator

__all__ = ["check_aggregator"]
