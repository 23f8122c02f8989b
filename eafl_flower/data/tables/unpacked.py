"""How much a compressed file may hold: a few kilobytes can stand for a terabyte."""

import gzip
import io
from pathlib import Path
from typing import TextIO

from eafl_flower.errors import DataError

ALWAYS_FINE = 2**30  # bytes
MOST_TIMES = 100  # that a table shrinks by; text of numbers does by 3 to 20


def most_bytes(compressed: int) -> int:
    """Return the bytes that a file of ``compressed`` bytes may hold: 1 GiB, or 100 times its size if that is more."""
    return max(ALWAYS_FINE, MOST_TIMES * compressed)


def limit_text(compressed: int) -> str:
    """Return the limit in words."""
    return f"more than {most_bytes(compressed):,} bytes (1 GiB, or {MOST_TIMES} times the size of the compressed file)"


def open_gzip(path: Path) -> TextIO:
    """Open a gzip file as text in UTF-8; reading raises ``DataError`` when it holds more than ``most_bytes``."""
    return io.TextIOWrapper(_Bounded(path), encoding="utf-8-sig", newline="")


class _Bounded(gzip.GzipFile):
    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._path, self._packed, self._unpacked = path, path.stat().st_size, 0

    def read1(self, size: int = -1) -> bytes:
        return self._counted(super().read1(size))

    def read(self, size: int | None = -1) -> bytes:
        return self._counted(super().read(size if size and size > 0 else most_bytes(self._packed) + 1))

    def _counted(self, content: bytes) -> bytes:
        self._unpacked += len(content)
        if self._unpacked > most_bytes(self._packed):
            msg = (
                f"{self._path} unpacks to {limit_text(self._packed)}: if that is right, unpack it (gunzip) and name "
                "the plain file"
            )
            raise DataError(msg)
        return content
