"""The state of a codec that remembers nothing of what it has sent."""

from dataclasses import dataclass

from eafl_flower.types import Layout


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """A stream of arrays with one layout, and which of them was the last; nothing else is remembered.

    The caller sets both numbers before each ``encode``: ``counter`` is that of its payload, ``acknowledged`` that of
    the last one that was merged.
    """

    layout: Layout
    counter: int = 0
    acknowledged: int = 0
