import doctest

import pytest

from eafl_flower.results.report import cells, page, sweep_page
from eafl_flower.results.report.page import Html, joined, table, text, without_paths
from eafl_flower.results.report.terms import TERMS, term, terms_section


@pytest.mark.parametrize("module", [page, sweep_page, cells])
def test_the_examples_are_true(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("no such file: /srv/data/x/rows.csv", "no such file: …/rows.csv"),
        ("C:\\Users\\ann\\rows.csv", "…/rows.csv"),
        ("~/runs/emam/config.toml was changed", "…/config.toml was changed"),
        ("10 MB/s and 3/4 of runs/emam", "10 MB/s and 3/4 of runs/emam"),
        ("https://example.org/a/b", "https://example.org/a/b"),
    ],
)
def test_paths_from_the_root_of_a_disk_are_cut(line, expected):
    assert without_paths(line) == expected


def test_what_is_markup_stays_and_all_else_is_escaped():
    assert joined("<b>", Html("<i>x</i>")) == "&lt;b&gt;<i>x</i>"
    assert text(joined("&")) == "&amp;"
    assert "&lt;td&gt;" in table(("a", "b"), [("<td>", 1)])


def test_a_term_has_its_definition_with_it_and_in_the_list_only_where_it_is_used():
    word = term("staleness", "stale")
    assert 'title="How many merges' in word
    assert ">stale</a>" in word
    listed = terms_section([word])
    assert listed.count("<dt>") == 1
    assert 'id="term-staleness"' in listed
    assert terms_section(["nothing"]) == ""


def test_definitions_are_short_sentences():
    assert all(definition.endswith(".") and len(definition) < 240 for _, definition in TERMS.values())
