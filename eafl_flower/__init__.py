"""Asynchronous, personalised, energy-aware federated learning on Flower."""

__version__ = "0.2.0"
"""Of the code itself: an app bundle does not ask what is installed beside it."""
