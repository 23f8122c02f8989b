"""No codec at all: the name of Flower's plain arrays among the codecs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PlainArrays:
    """Send Flower's plain arrays, as any Flower client understands them."""

    def make(self) -> None:
        """Return None: nothing is coded."""
