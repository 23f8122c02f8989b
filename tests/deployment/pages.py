"""The commands of a page in ``docs/``."""

import re

from federation import CHECKOUT


def blocks_of(page: str) -> list[str]:
    """Return the shell commands of a page, block by block."""
    text = (CHECKOUT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
