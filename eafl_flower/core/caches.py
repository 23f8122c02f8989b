"""Where results are kept that can be calculated again."""

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """Return a folder of ours in the user's cache: ``$XDG_CACHE_HOME/eafl-flower/NAME``, ``~/.cache`` without it."""
    root = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(root) if os.path.isabs(root) else Path.home() / ".cache"  # the XDG rule: relative is ignored
    return base / "eafl-flower" / name
