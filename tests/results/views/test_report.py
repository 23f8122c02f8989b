import builtins
import re
import xml.etree.ElementTree as ET

import pytest

from eafl_flower.errors import CheckpointError
from eafl_flower.results.views.comparison import comparison_page, differing_settings, run_titles
from eafl_flower.results.views.figures import staleness_figure
from eafl_flower.results.views.report import run_page


def assert_self_contained(text):
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', text.replace("xlink:href", "href"))
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg)
    ids = re.findall(r' id="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert not re.findall(r"#0[0-9]0[0-9a]0[0-9]", text)  # a placeholder colour that was not replaced


def test_the_page_holds_every_figure_and_loads_nothing(make_run):
    text = run_page(make_run())
    assert_self_contained(text)
    for label in (
        "Accuracy against virtual time", "Accuracy against uplink", "Histogram of staleness", "energy [J] by client",
        "uplink [bytes] by client", "Uploads of each client over time",
    ):  # fmt: skip
        assert f'aria-label="{label}' in text
    for word in (
        "no communication",
        "majority class",
        "staleness.half-life.merges",
        "arrays_sha256",
        "virtual time [s]",
    ):
        assert word in text


def test_the_same_events_give_the_same_figure(make_run):
    events = make_run().events()
    assert staleness_figure(events) == staleness_figure(events)


def test_a_run_that_is_not_finished_is_shown_as_far_as_it_went(make_run):
    text = run_page(make_run(name="interrupted", checkpoint__every=30))
    assert "not finished" in text
    assert "Staleness" in text


def test_text_of_the_run_is_not_markup(make_run):
    run = make_run()
    run.write_summary(run.summary() | {"name": "<b>bold</b>"})
    assert "<b>bold" not in run_page(run)


def test_many_uploads_are_drawn_as_an_image(make_run, monkeypatch):
    monkeypatch.setattr("eafl_flower.results.views.figures._MANY_DOTS", 100)
    assert "data:image/png;base64" in run_page(make_run())


def test_without_matplotlib_the_extra_is_named(make_run, monkeypatch):
    real = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    run = make_run()
    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(ImportError, match=r"pip install 'eafl-flower\[report\]'"):
        run_page(run)


def test_a_comparison_overlays_runs_and_shows_what_differs(make_run):
    runs = [make_run(seed=1), make_run(seed=2, strategy__merges=150)]
    assert differing_settings(runs) == [("seed", [1, 2]), ("strategy.merges", [200, 150])]
    text = comparison_page(runs)
    assert_self_contained(text)
    assert all(text.count(title) > 2 for title in run_titles(runs))


def test_runs_of_the_same_name_get_titles_that_tell_them_apart(make_run, tmp_path):
    run = make_run()
    other = tmp_path / "elsewhere" / run.path.name
    other.parent.mkdir()
    run.path.rename(other)
    again = make_run()
    again.path.rename(tmp_path / "runs" / other.name)
    runs = [type(run)(other), type(run)(tmp_path / "runs" / other.name)]
    assert run_titles(runs) == [f"elsewhere/{other.name}", f"runs/{other.name}"]


def test_a_run_that_did_not_end_cannot_be_compared(make_run):
    with pytest.raises(CheckpointError, match="did not end"):
        comparison_page([make_run(name="interrupted", checkpoint__every=30)])
