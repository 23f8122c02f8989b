import io
import re

import pytest
from rich.console import Console

from eafl_flower.results.views.live.console import ConsoleObserver
from eafl_flower.results.views.tables import cost_table, print_results
from eafl_flower.results.views.terminal import new_console


@pytest.fixture
def show(make_run):
    def run(*, width=80, terminal=False, verbose=False, **settings):
        console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False)
        found = make_run(ConsoleObserver(console, settings.get("name", "emam"), verbose=verbose), **settings)
        if found.finished:
            print_results(console, found.summary(), found.path, verbose=verbose)
        return console.file.getvalue()

    return run


TENTH = re.compile(r" {0,2}(\d+) % +([\d,]+) merges")


def tenths(text):
    """Return percent and merges of each line."""
    return [(int(found[1]), int(found[2].replace(",", ""))) for found in map(TENTH.match, text.splitlines()) if found]


def watched(events, **options):
    """Return what is printed of some events of a run of two clients."""
    console = Console(file=io.StringIO(), width=80, highlight=False)
    head = {"clients": 2, "in_flight": 2, "parameters": 10, "raw_bytes": 40}
    with ConsoleObserver(console, "emam", **options) as observer:
        for event in events:
            observer.write({**(head if event["event"] in ("start", "resume") else {}), **event})
    return console.file.getvalue()


def merged(merge, client=0, energy_j=1.0):
    sizes = dict.fromkeys(("raw_bytes", "uplink_bytes"), 40)
    told = {"time_s": float(merge), "wall_s": 0.1, "client": client, "staleness": 0, "energy_j": energy_j}
    return {"event": "merge", "merge": merge, "counter": 1, **told, **sizes}


def test_piped_output_is_plain_lines(show):
    text = show()
    assert "\x1b" not in text
    assert "\r" not in text


@pytest.mark.parametrize("merges", [7, 96, 1003])
def test_a_run_of_any_length_has_a_line_for_each_tenth(show, merges):
    told = tenths(show(strategy__merges=merges))
    assert len(told) == min(10, merges)
    assert told[-1] == (100, merges)
    for number, (percent, merge) in enumerate(told, start=1):
        assert percent == 100 * merge // merges
        assert (number - 1) * merges < len(told) * merge <= number * merges + len(told)


def test_a_run_prints_about_twenty_lines(show):
    lines = [line for line in show(strategy__merges=1003, evaluate__every=10).splitlines() if line.strip()]
    assert len(lines) <= 25


def test_a_tenth_has_the_score_that_was_measured_at_its_end(show):
    lines = [line for line in show(strategy__merges=100, evaluate__every=10).splitlines() if TENTH.match(line)]
    assert all(re.search(r"accuracy \d\d\.\d %  unseen \d\d\.\d %  stale \d+\.\d  [\d.]+ m?J", line) for line in lines)
    (odd,) = [line for line in show(strategy__merges=100, evaluate__every=55).splitlines() if "(merge" in line]
    assert re.search(r"^ 60 % .* \(merge 55\)", odd)


def test_a_tenth_waits_for_all_uploads_of_its_merge_and_counts_their_joules():
    start = {"event": "start", "merges_planned": 10}
    text = watched([start, merged(1), merged(1, client=1), merged(2), {"event": "stop", "merge": 2, "reason": "ended"}])
    first, second = (line for line in text.splitlines() if TENTH.match(line))
    assert re.search(r"^ 10 % .* 2 J ", first)
    assert re.search(r"^ 20 % .* 3 J ", second)


def test_joules_go_on_where_a_resumed_run_had_stopped():
    resume = {"event": "resume", "merges_planned": 10, "merge": 5, "time_s": 5.0, "energy_j": 7.0}
    text = watched([resume, merged(6), {"event": "stop", "merge": 6, "reason": "ended"}])
    assert re.search(r"^ 60 % .* 8 J ", text, re.MULTILINE)


def test_verbose_is_one_line_for_as_many_uploads_as_there_are_clients(show):
    lines = [line for line in show(verbose=True).splitlines() if re.match(r"R\d\d ", line)]
    assert [line[:3] for line in lines] == ["R01", "R02", "R03", "R04", "R05"]  # 200 merges of 48 clients
    raw, coded = 48 * 6528, 48 * (6528 // 4 + 40)
    assert f"saved {raw - coded:,} bytes (raw {raw:,} -> comp {coded:,})" in lines[0]
    assert re.search(r"stale \d+\.\d  [\d.]+ s  [\d.]+ J", lines[0])
    assert re.search(r"before \d\d\.\d %  after \d\d\.\d %  unseen \d\d\.\d %", lines[0])


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_on_a_terminal_is_wider_than_it_and_nothing_is_cut(show, width, verbose):
    settings = {"width": width, "terminal": True, "verbose": verbose, "name": "troubled"}
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", show(**settings))
    lines = [line for chunk in text.split("\n") for line in chunk.split("\r")]
    assert max(len(line) for line in lines if "Results:" not in line) <= width
    ended = text[text.rindex("accuracy") if verbose else 0 :]
    assert "…" not in "".join(line for line in ended.splitlines() if "━" not in line)
    assert width < 80 or not any(line.startswith(("error", "J  (")) for line in lines)  # nothing was wrapped


def test_the_progress_bar_is_for_terminals(show):
    shown = show(terminal=True)
    for told in ("━", "200/200 merges", "48 in flight", " J "):
        assert told in shown
    assert "━" not in show()


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None)
    with ConsoleObserver(console, "emam") as observer:
        head = {"clients": 2, "in_flight": 2, "merges_planned": 1, "parameters": 10, "raw_bytes": 40}
        observer.write({"event": "start", **head})
        observer.write(merged(1))
    assert tenths(console.file.getvalue()) == [(100, 1)]
    assert "━" not in console.file.getvalue()


def test_the_same_reason_is_told_once_and_not_as_markup(show):
    text = show(name="troubled")
    assert text.count("CUDA out of memory: tried [bold]2 GiB") == 1
    assert re.search(r"^ 50 % .*  1 failed$", text, re.MULTILINE)
    assert "2 failed" in show(name="troubled", verbose=True)


def test_the_final_table_shows_the_baselines_that_were_calculated(show):
    text = show(verbose=True)
    for title in ("exact updates", "no communication", "look-up of one feature", "majority class"):
        assert f"\n {title} " in text
    cheap = show(verbose=True, results__baselines="cheap")
    assert "\n majority class" in cheap
    assert "\n exact updates" not in cheap
    head = next(line for line in show().splitlines() if line.startswith(" accuracy"))
    assert head.split() == ["accuracy", "emam", "pooled", "exact", "alone", "look-up", "majority"]


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
    make_run(ConsoleObserver(console, "interrupted", verbose=True), resume=stopped.path, **settings)
    text = console.file.getvalue()
    assert "resumed after 150 merges" in text
    assert re.findall(r"^R\d\d", text, re.MULTILINE) == ["R04", "R05"]


def test_a_resumed_run_has_the_tenths_that_are_left(make_run):
    settings = {"name": "interrupted", "checkpoint__every": 30, "strategy__merges": 240}
    stopped = make_run(**settings)
    console = Console(file=io.StringIO(), width=80, highlight=False)
    make_run(ConsoleObserver(console, "interrupted"), resume=stopped.path, **settings)
    assert [percent for percent, _ in tenths(console.file.getvalue())] == [70, 80, 90, 100]


def test_an_early_stop_says_why_and_where_it_was():
    stop = {"event": "stop", "merge": 7, "time_s": 1.0, "reason": "5 J spent"}
    text = watched([{"event": "start", "merges_planned": 100}, *(merged(merge) for merge in range(1, 8)), stop])
    assert "stopped after 7 merges: 5 J spent" in text
    assert tenths(text) == [(7, 7)]


def test_a_notebook_gets_lines_and_whole_tables_as_a_pipe_does(monkeypatch, capsys):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    console = new_console()
    console.print("x" * 500)
    assert (console.is_interactive, console.is_jupyter) == (False, False)
    assert capsys.readouterr().out == "x" * 500 + "\n"
