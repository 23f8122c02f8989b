"""What an event that was read from a log must have, for what is calculated and drawn from it."""

from collections.abc import Mapping

from eafl_flower.core.events import Event
from eafl_flower.results.stored import Check, check_fields, count, counts, mapping, number, optional, text

_BYTES = ("uplink_bytes", "uplink_framed_bytes", "downlink_bytes", "downlink_framed_bytes")
_UPLOAD = ("uplink_energy_j", "uplink_time_s")
_MERGE = {
    **dict.fromkeys(("client", "counter", "raw_bytes", "merge"), count),
    **dict.fromkeys(("time_s", "staleness", *_BYTES), number),
}
_WITHOUT_RESULT = {"client": count, "time_s": number}
_END = {"merge": count, "time_s": number, "reason": text}
_REQUIRED: dict[str, Mapping[str, Check]] = {
    "merge": _MERGE,
    **dict.fromkeys(("lost", "refused", "timeout", "error"), _WITHOUT_RESULT),
    "evaluate": {"merge": count, "time_s": number, "metrics": mapping(optional(number))},
    "status": {**dict.fromkeys(("merge", "in_flight", "there", "away"), count), "time_s": number},
    "failed": _END,
    "interrupted": _END,
}
_KNOWN = {
    "client": count,
    "reason": text,
    "rate_source": text,
    "power_source": text,
    "metrics": mapping(optional(number)),
    "away_clients": counts,
    **dict.fromkeys(("num_values", "clients", "in_flight", "merges_planned", "uploads", "parameters"), count),
    **dict.fromkeys(("merge", "counter", "base_version"), count),
    "num_examples": number,  # or what else updates are weighed by
    "weight": optional(number),
    **dict.fromkeys(("time_s", "wall_s", "staleness", "energy_j", "raw_bytes", *_BYTES, *_UPLOAD), number),
    **dict.fromkeys(("rank", "unit"), count),
    **dict.fromkeys(("model", "leaving"), text),
    **dict.fromkeys(("price", "budget_j", "x_m", "y_m", "unit_x_m", "unit_y_m"), number),
    **dict.fromkeys(("bits_paper", "codec_error", "raw_downlink_bytes", "rate_bit_s"), number),
}


def check_event(event: Event) -> None:
    """Check the fields of an event.

    Raises
    ------
    ValueError
        At the first field that is missing or wrong; the message does not say where.
    """
    check_fields(event, _REQUIRED.get(event["event"], {}), _KNOWN)
