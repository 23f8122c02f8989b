"""Names that clients and files give, where they are drawn: in pages, figures and on the terminal."""

import io
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from rich.console import Console

from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.core.words import shown
from eafl_flower.results.report.comparison_page import comparison_page
from eafl_flower.results.report.figures import Curve, score_figure
from eafl_flower.results.report.page import page
from eafl_flower.results.report.run_page import run_page
from eafl_flower.results.scores import scores_to_store
from eafl_flower.results.views.live.console import ConsoleObserver
from eafl_flower.results.views.tables import comparison_table, print_results, settings_table, sweep_table
from eafl_flower.results.views.verdict import long_verdict

NAMES = {
    "script": '"><script>alert(1)</script>',
    "image": "</svg><img src=x onerror=alert(1)>",
    "attribute": '" onload=alert(1) x="',
    "group": "x\\1 \\g<9>",
    "markup": "[/bold]",
    "link": "[link=https://evil]x[/link]",
    "emoji": ":car:",
    "clear": "\x1b[2J",
    "title": "\x1b]0;own\x07",
    "8 bit": "\x9b2J",
    "line": "a\nb\rc",
    "direction": "\u202egnp.exe",
    "mathtext": "$\\frac$",
    "power": "$x^2$ and $y",
    "half": "\ud800",
    "underscore": "_hidden",
    "long": "x" * 100_000,
}


class Structure(HTMLParser):
    """The elements of a page with the names of their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(sorted(name for name, _ in attrs))))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def named_run(make_run):
    """Make a run that has the first of some names, and a score of each."""

    def make(*names):
        run = make_run(strategy__merges=20)
        metrics = {f"accuracy-{name}": 0.5 for name in names}
        event = {"event": "evaluate", "merge": 20, "time_s": 9.0, "metrics": metrics}
        run.events_path.write_text(json.dumps(event) + "\n")
        scores = [ACCURACY.to_record() | {"values": dict.fromkeys(names, 0.5)}]
        run.write_summary(run.summary() | {"name": names[0], "stopped": names[0], "scores": scores})
        return run

    return make


def test_no_name_adds_anything_to_a_page(named_run):
    together = "".join(name for kind, name in NAMES.items() if kind != "long")
    hostile, plain = named_run(together, NAMES["long"]), named_run("plain", "simple")
    for draw in (run_page, lambda run: comparison_page([run, run])):
        page, expected = draw(hostile), draw(plain)
        assert Structure(page).elements == Structure(expected).elements
        for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
            ET.fromstring(svg)
        assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in page.replace("\n", ""))
        assert len(page) < 2 * len(expected)


def test_no_name_in_a_verdict_is_markup_or_hides_what_follows(named_run):
    summary = named_run("plain").summary()

    def drawn(name):
        score = summary["scores"][0] | {"title": name[:60], "unit": name[:60], "values": {name: 0.5}}
        told = summary | {"scores": [score], "stopped": name, "baselines_left_out": {"no_communication": name}}
        return page("x", [], kind="x", verdict=long_verdict(told, name))

    expected = Structure(drawn("plain")).elements
    for name in NAMES.values():
        text = drawn(name)
        assert Structure(text).elements == expected
        assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in text.replace("\n", ""))
        assert "of the upload" in text


FAST = ("script", "clear")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind in FAST else pytest.mark.slow)
        for kind in NAMES
        if kind not in ("long", "half")
    ],
)
def test_title_and_unit_of_a_score_are_texts_too(make_run, kind):
    def drawn(text):
        score = Score(name="x", title=text, unit=text, higher_is_better=False)
        run = make_run(strategy__merges=20)
        event = {"event": "evaluate", "merge": 20, "time_s": 9.0, "metrics": {"x-before": 0.5}}
        run.events_path.write_text(json.dumps(event) + "\n")
        run.write_summary(run.summary() | {"scores": scores_to_store(event["metrics"], (score,)), "accuracy": {}})
        console = printed()
        print_results(console, run.summary(), run.path)
        console.print(comparison_table([("run", run.summary())], width=200))
        return run_page(run) + comparison_page([run, run]), console.file.getvalue()

    (page, text), (plain, _) = drawn(NAMES[kind]), drawn("plain")
    assert Structure(page).elements == Structure(plain).elements
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(svg)
    for shown_text in (page, text):
        assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in shown_text.replace("\n", ""))


def test_every_name_is_a_text_of_the_legend():
    names = [NAMES[kind] for kind in ("script", "markup", "clear", "mathtext", "power", "half", "underscore")]
    curves = [Curve(name, [0, 1], [0, 9], [0.1, 0.5]) for name in names]
    figure = score_figure(curves, score=ACCURACY, against="time", name="x\\1", title="x")
    texts = [text.strip() for text in ET.fromstring(figure).itertext()]
    assert all(shown(name) in texts for name in names)


@pytest.mark.parametrize("kind", ["script", "group", "half", "power"])
def test_figures_of_any_score_have_ids_that_are_words(kind):
    curve = Curve("x", [0, 1], [0, 9], [0.1, 0.5])
    figure = score_figure([curve], score=ACCURACY, against="time", name=NAMES[kind], title="x")
    ids = {element.get("id") for element in ET.fromstring(figure).iter() if element.get("id")}
    assert all(re.fullmatch(r"score-[\w.-]+", found) for found in ids)


def printed(*, terminal=False):
    return Console(
        file=io.StringIO(), width=200, force_terminal=terminal, color_system="standard" if terminal else None
    )


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_drives_the_terminal(named_run, name):
    run = named_run(name)
    console = printed()
    print_results(console, run.summary(), run.path, codec=name, next_=name)
    print_results(console, run.summary(), run.path, verbose=True)
    console.print(comparison_table([(name, run.summary())], width=200))
    console.print(sweep_table([({"a": name, name: 1}, run.summary()), ({"a": "x", name: 2}, run.summary())], width=200))
    console.print(settings_table([name, "x"], [(name, [name, None])], width=200))
    text = console.file.getvalue()
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in text.replace("\n", ""))
    assert len(text) < 50_000
    if name.startswith(("[", ":", "_")):
        assert text.count(name) >= 7  # as it is: neither markup nor a picture


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("verbose", [False, True])
def test_no_name_drives_the_terminal_while_a_run_goes_on(name, terminal, verbose):
    def shown_with(name):
        console = printed(terminal=terminal)
        with ConsoleObserver(console, name, verbose=verbose) as observer:
            head = {"clients": 3, "in_flight": 3, "merges_planned": 9, "parameters": 4, "raw_bytes": 16}
            observer.write({"event": "start", **head})
            observer.write({"event": "refused", "client": 1, "reason": name})
            observer.write({"event": "evaluate", "merge": 3, "time_s": 1.0, "metrics": {f"accuracy-{name}": 0.5}})
            observer.write({"event": "stop", "merge": 3, "time_s": 1.0, "reason": name})
        return console.file.getvalue()

    text, plain = shown_with(name), shown_with("plain")
    sequence = r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07\x1b]*(?:\x07|\x1b\\))"
    assert set(re.findall(sequence, text)) <= set(re.findall(sequence, plain))
    left = re.sub(sequence, "", text).replace("\n", "").replace("\r", "")
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in left)
    assert len(text) < 20_000
