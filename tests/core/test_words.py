import csv
import doctest
import io
import unicodedata

import pytest

from eafl_flower.core import words
from eafl_flower.core.words import cell, message, shown


def test_the_examples_are_true():
    assert doctest.testmod(words).failed == 0


def test_what_is_shown_has_no_character_that_cannot_be_seen():
    joiners = "\u200c\u200d"
    text = shown("".join(map(chr, range(0x110000))), most=0x110000)
    kinds = {unicodedata.category(character) for character in text if character not in joiners}
    assert kinds.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    text.encode("utf-8")


def test_letters_of_every_script_are_shown_as_they_are():
    for name in ("拥堵", "Größe", "скорость", "می‌خواهم", "速度　一", "🚗"):
        assert shown(name) == name


def test_a_long_name_is_cut_and_says_so():
    assert shown("x" * 1000, most=10) == "x" * 9 + "…"
    assert shown("x" * 10, most=10) == "x" * 10


def test_a_message_keeps_its_lines_and_nothing_else_that_moves_the_cursor():
    assert message("2 problems:\n  a\r\x1b[1A\n  b") == "2 problems:\n  a\\r\\x1b[1A\n  b"


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@a", "\tx", "\rx", "-1-1", "+1 2", "-1e", "=-1"])
def test_a_cell_is_never_a_formula(text):
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1", "+1", "-1.5", ".5", "-.5e-7", "1e5", "+1.", "plain", "", "a=b", "'-x"])
def test_a_number_and_a_plain_word_stay_what_they_are(text):
    assert cell(text) == text


@pytest.mark.parametrize("value", [-1, 2.5, -1e300, None, True])
def test_a_value_that_is_no_text_stays_what_it_is(value):
    assert cell(value) is value


def test_half_a_character_can_be_written():
    table = io.StringIO()
    csv.writer(table).writerow([cell("a\ud800")])
    assert table.getvalue().encode() == b"a\\ud800\r\n"
