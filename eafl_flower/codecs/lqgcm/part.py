"""LQGCM by its settings: what a preset says of it, with the codebook as a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eafl_flower.codecs.lqgcm.codebook import read_codebook
from eafl_flower.codecs.lqgcm.codec import LQGCMCodec, LQGCMSettings
from eafl_flower.core.settings import File, check_settings
from eafl_flower.core.stamps import noted


@dataclass(frozen=True, kw_only=True)
class LQGCM(LQGCMSettings):
    """What ``LQGCMCodec`` is set to.

    Parameters
    ----------
    codebook
        File of a codebook, of the modes "rvq" and "literal".

    Raises
    ------
    ConfigError
        If a number is out of range, or a mode lacks its codebook or has one that it does not use.
    """

    codebook: File = ""

    def __post_init__(self) -> None:
        text = f'mode = "{self.mode}" has none' if self.codebook else f'mode = "{self.mode}" needs the file of one'
        check_settings(self, codebook="" if self.has_codebook == bool(self.codebook) else text)

    def make(self) -> LQGCMCodec:
        """Return the codec; raises ``ConfigError`` if the codebook cannot be read."""
        settings: dict[str, Any] = vars(self)
        codebook = read_codebook(noted(Path(self.codebook))) if self.codebook else None
        return LQGCMCodec(**settings | {"codebook": codebook})
