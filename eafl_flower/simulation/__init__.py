"""Virtual time, clients that come and go, and the price of a job."""

from eafl_flower.radio.constant_rate import Charge, ConstantRateNetwork, JobPrice, Network, StartPrice, UploadPrice
from eafl_flower.simulation.churn import AlwaysOn, Churn, OnOff
from eafl_flower.simulation.event_queue import ARRIVAL, DEADLINE, JOIN, KINDS, UPLOAD_START, VANISH, Event, EventQueue

__all__ = [
    "ARRIVAL",
    "DEADLINE",
    "JOIN",
    "KINDS",
    "UPLOAD_START",
    "VANISH",
    "AlwaysOn",
    "Charge",
    "Churn",
    "ConstantRateNetwork",
    "Event",
    "EventQueue",
    "JobPrice",
    "Network",
    "OnOff",
    "StartPrice",
    "UploadPrice",
]
