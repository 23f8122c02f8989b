"""The page of each system: what was read, inferred and made, and names that the code has."""

import re

import pytest
from page_blocks import CHECKOUT

SYSTEMS = ["docs/eafl-alp.md", "docs/emq-system.md", "docs/ucb-dual.md", "docs/alignment.md"]
_TABLE = re.compile(r"^\| symbol \| name \| unit \|.*\n\|[-|]*\n((?:\|.*\n)+)", flags=re.MULTILINE)
_NAME = re.compile(r"`([A-Za-z_][\w.-]*)")


@pytest.fixture(scope="module")
def words():
    sources = (CHECKOUT / "eafl_flower").rglob("*.py")
    return {word for path in sources for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("page", SYSTEMS)
def test_a_system_tells_what_was_read_what_was_inferred_and_what_is_ours(page):
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    assert "## What was read, what was inferred, what is ours\n" in text
    section = text.partition("## What was read, what was inferred, what is ours\n")[2].partition("\n## ")[0]
    assert all(f"**{tag}**" in section for tag in ("Read", "Inferred", "Ours"))
    assert "$$" in text


@pytest.mark.parametrize("page", SYSTEMS)
def test_the_names_beside_symbols_are_in_the_code(page, words):
    tables = _TABLE.findall((CHECKOUT / page).read_text(encoding="utf-8"))
    assert tables
    rows = [re.split(r"(?<!\\)\|", line) for table in tables for line in table.splitlines()]
    assert all(row[3].strip() for row in rows), "each symbol has a unit"
    names = {part for row in rows for name in _NAME.findall(row[2]) for part in name.replace("-", "_").split(".")}
    assert names - words == set()
