"""Loops compiled by numba; importing this module imports it."""

from collections.abc import Callable
from typing import Any

import numba


def compile_loop(loop: Callable[..., Any], signature: tuple[Any, ...], **options: Any) -> Callable[..., Any]:
    """Compile ``loop``, with the machine code kept on disk where some cache folder is writable."""
    try:
        compiled: Callable[..., Any] = numba.njit(signature, cache=True, nogil=True, **options)(loop)
    except (RuntimeError, OSError):  # no writable folder for the cache, or no space left in it
        compiled = numba.njit(signature, nogil=True, **options)(loop)
    return compiled
