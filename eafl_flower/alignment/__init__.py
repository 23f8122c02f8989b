"""Latent spaces of different encoders, aligned over MIMO channels: one access point, many users."""

from eafl_flower.alignment.access_point import EVERYBODY, AccessPoint, AccessPointState, access_point, sent_pilots
from eafl_flower.alignment.aggregator import AlignmentAggregator
from eafl_flower.alignment.learner import AlignmentLearner, EvaluationData
from eafl_flower.alignment.packing import as_floats, from_floats, pack, unpack
from eafl_flower.alignment.pilots import herded_pilots, random_pilots
from eafl_flower.alignment.settings import Alignment
from eafl_flower.alignment.training import Users, train, users_at_once
from eafl_flower.alignment.transmission import Receiver, Sender, compression
from eafl_flower.alignment.user import Answer, Pilots, Statistics, User, statistics_of
from eafl_flower.alignment.whitening import Whitening, fit_whitening, no_whitening

__all__ = [
    "EVERYBODY",
    "AccessPoint",
    "AccessPointState",
    "Alignment",
    "AlignmentAggregator",
    "AlignmentLearner",
    "Answer",
    "EvaluationData",
    "Pilots",
    "Receiver",
    "Sender",
    "Statistics",
    "User",
    "Users",
    "Whitening",
    "access_point",
    "as_floats",
    "compression",
    "fit_whitening",
    "from_floats",
    "herded_pilots",
    "no_whitening",
    "pack",
    "random_pilots",
    "sent_pilots",
    "statistics_of",
    "train",
    "unpack",
    "users_at_once",
]
