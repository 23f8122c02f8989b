"""The pages of the project, their code, and what is said of each piece in a comment before it.

A block of ``sh`` or ``python`` is run by ``test_blocks.py`` unless the line before it, or for all blocks of a page that
have none a line anywhere, says otherwise:

    <!-- not run: REASON -->            and why
    <!-- run by PATH -->                 another test, or .ci/run, runs it from the page
    <!-- run with NAME, NAME -->         packages that it needs, or ``data/NAME``, a folder of recorded data
    <!-- blocks run by PATH -->          of the whole page

A block of Python whose first line is ``# NAME.py`` is that file, for the commands and programs that come later.
"""

import re
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PATTERNS = ("*.md", "docs/*.md", "*/README.md", "experiments/*/README.md", "examples/apps/*/README.md")
_FENCE = re.compile(r"^( *)```([a-z]*)\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!-- (.*) -->\s*\Z")
_WHOLE = re.compile(r"^<!-- blocks (run by .*) -->$", flags=re.MULTILINE)
_FILE = re.compile(r"# (\w+\.py)\n")
_COMMAND = re.compile(r"^(\$ )?(eafl|flwr|pip|python3?|docker|docker-compose|mkdocs|pytest|git) \S", flags=re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A piece of code of a page."""

    page: str
    line: int
    language: str
    text: str
    said: str

    @property
    def is_run_here(self) -> bool:
        return not self.said.startswith(("not run: ", "run by "))

    @property
    def needs(self) -> list[str]:
        return self.said.removeprefix("run with ").split(", ") if self.said.startswith("run with ") else []

    @property
    def file(self) -> str:
        """Name of the file that the block is, if it is one."""
        found = _FILE.match(self.text) if self.language == "python" else None
        return found[1] if found else ""


def pages() -> list[str]:
    """Return every page of the checkout that people read."""
    found = {path.relative_to(CHECKOUT).as_posix() for pattern in PATTERNS for path in CHECKOUT.glob(pattern)}
    return sorted(page for page in found if not page.startswith("."))  # pytest's cache has a page of its own


def blocks_of(page: str) -> list[Block]:
    """Return the shell commands and Python programs of a page."""
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    whole = _WHOLE.search(text)
    found = []
    for fence in _FENCE.finditer(text):
        language = fence[2] or ("sh" if _COMMAND.search(fence[3]) else "")
        if language in ("sh", "python"):
            comment = _COMMENT.search(text[: fence.start()].rsplit("\n\n", 1)[-1])
            said = comment[1] if comment else whole[1] if whole else ""
            found.append(Block(page, text.count("\n", 0, fence.start()) + 1, language, fence[3], said))
    return found
