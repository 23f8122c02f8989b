"""What a person reads of a run fits the terminal, and nothing that clients say drives it."""

import io
import json

import pytest
from recorded_logs import FAILED, START, merge, run_with, status, trouble
from rich.console import Console

from eafl_flower.app.resumable import updates_in
from eafl_flower.results.ownership import owned
from eafl_flower.results.run_state import RunWatcher
from eafl_flower.results.views.live.json_lines import JsonLines
from eafl_flower.results.views.live.status_lines import StatusLines
from eafl_flower.results.views.status_page import status_page

HOSTILE = "\x1b[2Jowned [bold]\n" + "x" * 3000
EVENTS = (
    START,
    *(merge(n, client=n % 3, staleness=n // 2) for n in range(1, 5)),
    trouble("error", 1, 5.0, "CUDA out of memory"),
    trouble("error", 1, 6.0, HOSTILE),
    trouble("lost", 2, 7.0),
    {"event": "evaluate", "merge": 4, "time_s": 7.0, "metrics": {"accuracy-before": 0.625}},
    status(4, 8.0, in_flight=1, there=2, away=(2,)),
)


def page(run, *, width=100, terminal=False, most=20):
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, highlight=False, color_system=None)
    console.print(status_page(RunWatcher(run, updates_in).status(), console, most))
    return console.file.getvalue()


@pytest.fixture
def run(tmp_path):
    return run_with(tmp_path / "lab-1", *EVENTS)


def test_it_says_how_far_who_is_there_and_who_is_in_trouble(run):
    with owned(run.path, wait_s=0):
        text = " ".join(page(run, width=10_000).split())
    for part in (
        "lab-1 running (pid",
        "4 of 10",
        "1, 2 nodes there, 1 away",
        "median 1, p95 2, max 2",
        "1 lost, 2 failed",
    ):
        assert part in text
    assert "before 62.5 % (after merge 4)" in text
    assert "checkpoint none yet" in text


@pytest.mark.parametrize("width", [40, 60, 100])
def test_no_line_is_wider_than_the_terminal_and_no_word_of_a_client_drives_it(run, width):
    text = page(run, width=width, terminal=True)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "owned [bold]" in text.replace("\n", "").replace(" ", "").replace("owned[bold]", "owned [bold]")


def test_of_many_clients_those_in_trouble_are_shown_and_the_rest_counted(tmp_path):
    events = (merge(n, client=n) for n in range(1, 100))
    run = run_with(tmp_path / "run", START, *events, trouble("refused", 98, 99.5, "not finite"), FAILED)
    text = page(run, most=5)
    assert "refused: not finite" in text
    assert "94 more clients: --clients 0 shows all" in text
    assert "more clients" not in page(run, most=0)
    assert "failed: 11 errors and refusals" in text


def test_a_line_an_interval_says_what_has_happened_since_the_last():
    console = Console(file=io.StringIO(), width=80, highlight=False)
    observer = StatusLines(console)
    for event in (*EVENTS, merge(5, staleness=7), status(5, 9.0)):
        observer.write(event)
    observer.close()
    first, second = console.file.getvalue().splitlines()
    assert "4/10 merges, 25.7 merges/min  1 in flight  2 nodes there  1 away (client 2)" in first
    assert "stale median 1, max 2" in first
    assert r'client 1: 2 failed (newest: "\x1b[2Jowned [bold]\nxxx' in first
    assert "client 2: 1 lost" in first
    assert "5/10 merges" in second
    assert "stale median 7, max 7" in second
    assert "client" not in second  # nobody is away or in trouble any more


def test_a_log_in_json_has_an_object_a_line_and_sums_merges_up():
    file = io.StringIO()
    lines = JsonLines(file, "lab-1", 0.0)
    for event in (*EVENTS, FAILED):
        lines.write(event)
    lines.say("\x1b[2J left out", "warning")
    lines.results({"merges": 4}, "runs/lab-1")
    told = [json.loads(line) for line in file.getvalue().splitlines()]
    assert all(line["run"] == "lab-1" and line["at"].endswith("Z") for line in told)
    kinds = ["start", "error", "error", "lost", "evaluate", "status", "failed", "note", "summary"]
    assert [line["event"] for line in told] == kinds
    levels = {line["event"]: line["level"] for line in told}
    assert (levels["error"], levels["failed"], levels["note"], levels["status"]) == (
        "warning",
        "error",
        "warning",
        "info",
    )
    found = next(line for line in told if line["event"] == "status")
    assert (found["merge"], found["in_flight"], found["away"], found["error"], found["energy_j"]) == (4, 1, 1, 2, 2.75)
    assert "\x1b" not in file.getvalue()


def test_in_virtual_time_a_log_in_json_has_status_lines_of_its_own():
    file = io.StringIO()
    lines = JsonLines(file, "lab-1", 1e-9)
    for event in (START, merge(1), merge(2)):
        lines.write(event)
    assert [json.loads(line)["event"] for line in file.getvalue().splitlines()] == ["start", "status", "status"]
