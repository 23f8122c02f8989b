"""Radios, what uploads under way take of them, and the price of a job."""

from eafl_flower.radio.constant_rate import ConstantRate
from eafl_flower.radio.price import Charge, JobPrice
from eafl_flower.radio.transfers import Transfer

__all__ = ["Charge", "ConstantRate", "JobPrice", "Transfer"]
