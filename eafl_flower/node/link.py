"""How a node reaches its SuperLink: address, certificates, key, and how long it goes on trying."""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from logging import INFO, WARNING
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

from eafl_flower.core.excerpt import excerpt
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import ConfigError, EAFLError, RunFailedError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 20.0  # between two tries to reach a SuperLink, as SuperNodes wait


class RefusedError(RunFailedError):
    """A SuperLink does not let the node in; the message says why and what to do."""


class AwayError(RunFailedError):
    """A SuperLink did not answer for as long as the node was to wait."""


class ForgottenError(EAFLError, RuntimeError):
    """The SuperLink does not know the node any more."""


class GivenUpError(EAFLError, RuntimeError):
    """What a call was about is given up, as when its run has ended, or the node is told to stop; the node goes on."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """The way to a SuperLink; the settings are those of ``flower-supernode``.

    Parameters
    ----------
    superlink
        Address of the Fleet API, ``HOST:PORT``.
    insecure
        Without TLS.
    root_certificates
        PEM file of the authority that signed the SuperLink's certificate; None: those of the system.
    private_key
        The node's ECDSA key in OpenSSH's format, whose public part is registered; None: the node registers itself.
    max_retries, max_wait_s
        How often [1] and for how long [s] a SuperLink that does not answer is tried again; None: for ever.

    Raises
    ------
    ConfigError
        If these contradict each other, or a file cannot be read or holds something else.
    """

    superlink: str = "127.0.0.1:9092"
    insecure: bool = False
    root_certificates: Path | None = None
    private_key: Path | None = None
    max_retries: int | None = None
    max_wait_s: float | None = None

    def __post_init__(self) -> None:
        host, _, port = self.superlink.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ConfigError(f'superlink = "{excerpt(self.superlink)}": expected HOST:PORT, as in 127.0.0.1:9092')
        if self.insecure and (self.root_certificates or self.private_key):
            msg = "without TLS (insecure) there are neither root certificates nor a private key: leave one of them out"
            raise ConfigError(msg)
        for name, value in (("max_retries", self.max_retries), ("max_wait_s", self.max_wait_s)):
            if value is not None and not value >= 0:
                raise ConfigError(f"{name} = {value}: expected a number that is not negative")
        self.key()
        self.certificates()

    def key(self) -> ec.EllipticCurvePrivateKey:
        """Return the node's private key, a fresh one where it has none of its own."""
        if self.private_key is None:
            return ec.generate_private_key(ec.SECP384R1())
        content, key = _content(self.private_key), None
        with suppress(ValueError, TypeError, UnsupportedAlgorithm):  # a TypeError: it has a passphrase
            key = load_ssh_private_key(content, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(
                f"{self.private_key} is not an ECDSA key in OpenSSH's format without a passphrase: "
                f"ssh-keygen -t ecdsa -b 384 -N '' -f {self.private_key.name}"
            )
        return key

    def certificates(self) -> bytes | None:
        """Return the root certificates, None for those of the system."""
        if self.root_certificates is None:
            return None
        content = _content(self.root_certificates)
        if b"-----BEGIN CERTIFICATE-----" not in content:
            raise ConfigError(f"{self.root_certificates} holds no certificate: expected a PEM file")
        return content


class Patience:
    """Waits longer and longer for a SuperLink that does not answer, and says so once.

    Parameters
    ----------
    link
        Where it is, and how long to wait.
    stop
        Once set, nothing is waited for any more.
    """

    def __init__(self, link: Link, stop: threading.Event) -> None:
        self._link, self._stop = link, stop
        self._began_s, self._tries, self._pause_s = time.monotonic(), 0, FIRST_PAUSE_S

    def wait(self, why: str) -> None:
        """Wait until the next try is due.

        Raises
        ------
        AwayError
            If it was tried often or long enough.
        GivenUpError
            If the node is told to stop.
        """
        self._tries += 1
        most, longest_s, away_s = self._link.max_retries, self._link.max_wait_s, time.monotonic() - self._began_s
        if (most is not None and self._tries > most) or (longest_s is not None and away_s >= longest_s):
            raise AwayError(
                f"no success with the SuperLink at {self._link.superlink} after {self._tries} tries in {away_s:.0f} s "
                f"({why}): start it, or wait longer (--max-retries, --max-wait-time)"
            )
        if self._tries == 1:
            log(WARNING, "no success with the SuperLink at %s (%s): trying again", self._link.superlink, why)
        if self._stop.wait(self._pause_s):
            raise GivenUpError("the node is told to stop")
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def over(self) -> None:
        """Say that what was waited for has come, if it was waited for."""
        if self._tries:
            log(INFO, "the SuperLink answers again after %.0f s", time.monotonic() - self._began_s)


def _content(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
