"""What a run leaves out or bounds of what its clients report: told once for each kind, counted always."""

from collections import Counter
from logging import WARNING

from eafl_flower.engines.flower_log import log


class Notes:
    """Tells each kind of omission once.

    Attributes
    ----------
    counts
        How often each kind has occurred.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._mentioned: set[str] = set()

    def tell(self, kind: str, text: str, count: int = 1) -> None:
        """Count ``count`` occurrences of ``kind``; say ``text`` if it is the first time."""
        if not self.counts[kind]:
            log(WARNING, "%s", text)
        self.counts[kind] += count

    def mention(self, kind: str, text: str) -> None:
        """Say ``text`` the first time; nothing was left out."""
        if kind not in self._mentioned:
            self._mentioned.add(kind)
            log(WARNING, "%s", text)

    def tell_totals(self) -> None:
        """Say how often each kind has occurred, if any has more than once."""
        if any(count > 1 for count in self.counts.values()):
            totals = ", ".join(f"{kind} {count}" for kind, count in self.counts.items())
            log(WARNING, "left out or bounded in all (what to do was said when each came first): %s", totals)

    @property
    def total(self) -> int:
        """Occurrences of all kinds."""
        return self.counts.total()
