import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from eafl_flower.results.views.fitting import Column, fitted

NAMES = ["a-name-that-is-long-enough-to-be-folded", "b", "c"]
TITLES = [f"title {number}" for number in range(9)]


def drawn(width, **options):
    first = Column(title=Text("run"), cells=[Text(name) for name in NAMES], least=16, is_text=True)
    others = [
        Column(title=Text(title), cells=[Text(f"{title[-1]}{name[0]}.25 %") for name in NAMES]) for title in TITLES
    ]
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(fitted(first, others, width=width, **options))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [24, 40, 60, 80, 120, 1000])
@pytest.mark.parametrize("is_ruled", [True, False])
def test_every_cell_is_there_whole_whatever_the_width(width, is_ruled):
    lines = drawn(width, is_ruled=is_ruled)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    for title in TITLES:
        assert text.count(title) == 1
        assert all(text.count(f"{title[-1]}{name[0]}.25 %") == 1 for name in NAMES)
    alone = "".join(re.sub(r"\d[abc]\.25 %", "", line).strip() for line in lines)
    assert NAMES[0] in alone  # folded or not


def test_a_name_is_not_folded_where_another_table_makes_room():
    assert any(NAMES[0] in line for line in drawn(80))


def test_each_table_begins_with_the_first_column_and_they_are_as_few_as_can_be():
    assert sum(line.strip().startswith("run") for line in drawn(1000)) == 1
    few, many = (sum(line.strip().startswith("run") for line in drawn(width)) for width in (100, 60))
    assert 1 < few < many
