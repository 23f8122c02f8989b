"""Keys of codecs whose payloads both sides make with a common secret: only such codecs are ever given one."""

import hmac
from typing import Any, Final, TypeGuard

from eafl_flower.core.rng import generator
from eafl_flower.protocols import Codec, KeyedCodec

KEY_BYTES: Final = 32


def session_key(seed: int, client: int) -> bytes:
    """Return a client's session key in a simulation, which both sides know; in a deployment it is ``client_key``."""
    return generator(seed, "dither", client).bytes(KEY_BYTES)


def client_key(secret: bytes, client: int) -> bytes:
    """Return the session key of one client in a deployment: from the server's 32 random bytes, which stay with it."""
    return hmac.digest(secret, f"eafl-flower lqgcm session {client}".encode(), "sha256")


def keyed_for(codec: Codec[Any], *, seed: int, client: int, key: bytes = b"") -> Codec[Any]:
    """Return ``codec`` for the uploads of one client: with a key, if it works with one.

    A codec that has none of its own gets ``key``, which ``Compressed`` and the server of a deployment send with each
    job, and without that the key of a simulation: a function of the run's seed and the client.
    """
    if not _is_keyed(codec):
        return codec
    return codec.keyed((key or session_key(seed, client)) if codec.needs_key else b"", client)


def needs_key(codec: Codec[Any] | None) -> bool:
    """Whether whoever sends jobs has to make a session key for ``codec``."""
    return codec is not None and _is_keyed(codec) and codec.needs_key


def _is_keyed(codec: Codec[Any]) -> TypeGuard[KeyedCodec[Any]]:
    return hasattr(codec, "keyed")  # looked at for each message, and isinstance with a protocol takes 20 microseconds
