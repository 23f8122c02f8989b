"""Whether replies can be used at all: each must be coded as agreed, and a run without any such reply is an error."""

from typing import Any

from flwr.app import RecordDict

from eafl_flower.errors import ProtocolError, RunFailedError, UpdateRefusedError
from eafl_flower.protocols import Codec
from eafl_flower.wire.records import CODED, REFUSED, config_record
from eafl_flower.wire.replies import words_of

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


def agreed_payload(content: RecordDict, who: str) -> bytes:
    """Return the payload in the reply of ``who`` to a coded job.

    Raises
    ------
    ProtocolError
        If the reply is not coded, or holds plain arrays beside.
    UpdateRefusedError
        If the client says that it has no update to send.
    """
    coded = config_record(content, CODED)
    if coded is None or content.array_records:
        msg = f'the reply of {who} is not coded, its job was: expected the record "{CODED}" and no plain arrays'
        raise ProtocolError(msg)
    if isinstance(reason := coded.get(REFUSED), str):
        msg = f"{who} has no update to send: {words_of(reason)}"
        raise UpdateRefusedError(msg)
    payload = coded.get("payload")
    if not isinstance(payload, bytes):
        msg = f'the reply of {who} has a record "{CODED}" without payload bytes'
        raise ProtocolError(msg)
    return payload
