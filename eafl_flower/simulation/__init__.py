"""Virtual time, and clients that come and go."""

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
    "Churn",
    "Event",
    "EventQueue",
    "OnOff",
]
