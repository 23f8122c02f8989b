import io
import re

import pytest
from rich.console import Console

from eafl_flower.results.views.console import ConsoleObserver
from eafl_flower.results.views.tables import cost_table, print_results


@pytest.fixture
def show(make_run):
    def run(*, width=80, terminal=False, **settings):
        console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False)
        found = make_run(ConsoleObserver(console, settings.get("name", "emam")), **settings)
        if found.finished:
            print_results(console, found.summary(), found.path)
        return console.file.getvalue()

    return run


def test_piped_output_is_plain_lines(show):
    text = show()
    assert "\x1b" not in text
    assert "\r" not in text


def test_there_is_one_line_for_as_many_uploads_as_there_are_clients(show):
    lines = [line for line in show().splitlines() if re.match(r"R\d\d ", line)]
    assert [line[:3] for line in lines] == ["R01", "R02", "R03", "R04", "R05"]  # 200 merges of 48 clients
    raw, coded = 48 * 6528, 48 * (6528 // 4 + 40)
    assert f"saved {raw - coded:,} bytes (raw {raw:,} -> comp {coded:,})" in lines[0]
    assert re.search(r"stale \d+\.\d  [\d.]+ s  [\d.]+ J", lines[0])
    assert re.search(r"before \d\d\.\d %  after \d\d\.\d %  unseen \d\d\.\d %", lines[0])


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_on_a_terminal_is_wider_than_it(show, width):
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", show(width=width, terminal=True, name="troubled"))
    lines = [line for chunk in text.split("\n") for line in chunk.split("\r")]
    assert max(len(line) for line in lines if "Results:" not in line) <= width
    assert not any(line.startswith(("error", "J  (")) for line in lines)  # nothing was wrapped


def test_the_progress_bar_is_for_terminals(show):
    assert "merges" in show(terminal=True)
    assert "━" in show(terminal=True)
    assert "━" not in show()


def test_the_same_reason_is_told_once_and_not_as_markup(show):
    text = show(name="troubled")
    assert text.count("CUDA out of memory: tried [bold]2 GiB") == 1
    assert "2 failed" in text


def test_the_final_table_shows_the_baselines_that_were_calculated(show):
    text = show()
    for title in ("exact updates", "no communication", "look-up of one feature", "majority class"):
        assert title in text
    cheap = show(results__baselines="cheap")
    assert "majority class" in cheap
    assert "exact updates" not in cheap


def test_the_path_of_the_results_ends_the_output_unbroken(show, tmp_path):
    last = show(width=40).splitlines()[-1]
    assert last.startswith(f"Results: {tmp_path}")


def test_time_is_told_once_where_it_is_real(make_run):
    summary = make_run().summary()

    def shown(found):
        console = Console(file=io.StringIO(), width=80, highlight=False)
        console.print(cost_table(found))
        return re.search(r"^ time +(.*?) *$", console.file.getvalue(), re.MULTILINE)[1]

    assert shown(summary | {"virtual_time_s": 50.5, "wall_s": 2.0}) == "50.5 s virtual, 2 s real"
    assert shown(summary | {"virtual_time_s": 50.5, "wall_s": 50.5}) == "50.5 s real"


def test_a_resumed_run_counts_on(make_run):
    settings = {"name": "interrupted", "checkpoint__every": 30, "strategy__merges": 240}
    stopped = make_run(**settings)
    console = Console(file=io.StringIO(), width=80, highlight=False)
    make_run(ConsoleObserver(console, "interrupted"), resume=stopped.path, **settings)
    text = console.file.getvalue()
    assert "resumed after 150 merges" in text
    assert re.findall(r"^R\d\d", text, re.MULTILINE) == ["R04", "R05"]


def test_an_early_stop_says_why():
    console = Console(file=io.StringIO(), width=80, highlight=False)
    with ConsoleObserver(console, "emam") as observer:
        head = {"clients": 2, "in_flight": 2, "merges_planned": 100, "parameters": 10, "raw_bytes": 40}
        observer.write({"event": "start", **head})
        observer.write({"event": "stop", "merge": 7, "time_s": 1.0, "reason": "5 J spent"})
    assert "stopped after 7 merges: 5 J spent" in console.file.getvalue()
