"""Whether an object has what a protocol asks for, where that is asked once a job."""

from collections.abc import Callable


def asked_once(protocol: type) -> Callable[[object], bool]:
    """Return ``isinstance(..., protocol)``, asked once for each type.

    For a protocol Python looks up each of its members every time, which takes as long as a small merge. A type has them
    all or none: what its first object lacks, none of its objects has. Only where a type has ``__getattr__``, and may
    pass on what another object has, each object is asked.
    """
    known: dict[type, bool] = {}

    def conforms(value: object) -> bool:
        kind = type(value)
        if hasattr(kind, "__getattr__"):
            return isinstance(value, protocol)
        if kind not in known:
            known[kind] = isinstance(value, protocol)
        return known[kind]

    return conforms
