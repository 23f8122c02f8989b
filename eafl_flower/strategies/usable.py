"""Whether replies can be used at all: each must be coded as agreed, and a run without any such reply is an error."""

from typing import Any

from eafl_flower.errors import RunFailedError
from eafl_flower.protocols import Codec

MOST_EMPTY_ROUNDS = 3  # in a row


class UsableReplies:
    """Counts the replies of one start by whether they could be used.

    Parameters
    ----------
    codec
        The codec of the run, for the message.
    """

    def __init__(self, codec: Codec[Any]) -> None:
        self._codec = codec
        self._used = self._rounds = self._empty_rounds = 0
        self._reason = ""

    def note_round(self, *, used: int, reasons: list[str]) -> None:
        """Note a round in which nodes were asked to train; ``reasons`` tell why replies could not be used.

        Raises
        ------
        RunFailedError
            If this is the third round in a row without a reply that could be used.
        """
        self._used += used
        self._rounds += 1
        self._empty_rounds = 0 if used else self._empty_rounds + 1
        if not used:
            self._reason = max(reasons, key=reasons.count) if reasons else "no node answered"
        if self._empty_rounds >= MOST_EMPTY_ROUNDS:
            raise RunFailedError(self._message(f"{self._empty_rounds} rounds in a row"))

    def check_end(self) -> None:
        """Raise ``RunFailedError`` if there were rounds, and not one reply could be used."""
        if self._rounds and not self._used:
            raise RunFailedError(self._message(f"any of {self._rounds} rounds"))

    def _message(self, when: str) -> str:
        return (
            f"no reply could be used in {when}: {self._reason} (each ClientApp needs mods=[compression_mod(codec), "
            f"...] with the codec of the server, {self._codec})"
        )
