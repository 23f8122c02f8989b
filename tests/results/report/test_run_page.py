import builtins
import html
import re

import pytest
from self_contained import assert_self_contained

from eafl_flower.errors import CheckpointError
from eafl_flower.results.report.activity_figures import staleness_figure
from eafl_flower.results.report.comparison_page import comparison_page
from eafl_flower.results.report.run_page import run_page
from eafl_flower.results.views.comparison import differing_settings, run_titles
from eafl_flower.results.views.verdict import long_verdict


def test_the_page_holds_every_figure_once_and_loads_nothing(make_run):
    text = run_page(make_run())
    assert_self_contained(text)
    for label in (
        "Accuracy against virtual time", "Accuracy against uplink", "Accuracy at the end", "Histogram of staleness",
        "Energy of each client", "Uplink of each client", "Uploads of each client over time", "Energy of all clients",
        "Mean weight of an update by its staleness", "Bytes of merged jobs",
    ):  # fmt: skip
        assert f'aria-label="{label}' in text
    labels = re.findall(r'role="img" aria-label="([^"]*)"', text)
    assert len(labels) == text.count("<figure>") == len(set(labels))
    for word in ("no communication", "majority class", "staleness.half-life.merges", "arrays_sha256", "virtual time"):
        assert word in text


def test_what_came_out_is_said_first_and_in_words(make_run):
    run = make_run()
    text = run_page(run)
    sentences = long_verdict(run.summary(), "int8")
    assert sentences[0].startswith("Federation brought")
    assert any(sentence.startswith("int8 cost ") for sentence in sentences)
    assert text.index('class="verdict"') < text.index("<section>")
    assert all(html.escape(sentence) in text for sentence in sentences)


def test_every_term_is_explained_on_the_word_and_in_the_list(make_run):
    text = run_page(make_run())
    used = set(re.findall(r'href="#term-([^"]*)"', text))
    assert {"emam", "staleness", "in-flight", "before", "after", "unseen", "no-communication"} <= used
    assert used == set(re.findall(r'<div id="term-([^"]*)">', text))
    assert text.count('class="term"') == len(re.findall(r'class="term" href="#term-[^"]*" title="[^"]{20,}"', text))


@pytest.mark.slow
def test_no_path_of_this_machine_is_on_the_page(make_run, tmp_path):
    run = make_run(data__dir=str(tmp_path / "data"), name="interrupted", checkpoint__every=30)
    assert str(tmp_path) in run.config_path.read_text()
    assert str(tmp_path) not in run_page(run)
    done = make_run(data__dir=str(tmp_path / "data"))
    done.config_path.write_text(done.config_path.read_text().replace("alpha = ", "alpha = 1"))
    assert str(tmp_path) not in (text := run_page(done))
    assert "…/config.toml was changed after its run" in text
    assert str(tmp_path) not in comparison_page([done, done])


def test_an_ordinary_page_is_smaller_than_a_megabyte(make_run):
    assert len(run_page(make_run()).encode()) < 400_000


def test_the_same_events_give_the_same_figure(make_run):
    events = make_run().events()
    assert staleness_figure(events) == staleness_figure(events)


def test_a_run_that_is_not_finished_is_shown_as_far_as_it_went(make_run):
    text = run_page(make_run(name="interrupted", checkpoint__every=30))
    assert "not finished" in text
    assert "Histogram of staleness" in text


def test_text_of_the_run_is_not_markup(make_run):
    run = make_run()
    run.write_summary(run.summary() | {"name": "<b>bold</b>"})
    assert "<b>bold" not in run_page(run)


def test_many_uploads_are_drawn_as_an_image(make_run, monkeypatch):
    monkeypatch.setattr("eafl_flower.results.report.activity_figures._MANY_DOTS", 100)
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
