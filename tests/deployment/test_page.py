"""The commands of docs/deployment.md, pasted in order into one shell, do what the page says."""

import csv
import json
import os
import re
import signal
import subprocess
from contextlib import suppress

import pytest
from federation import copy_app, environment, free_ports
from pages import blocks_of
from processes import command_line, descendants, kill_all

from eafl_flower.results.run_directory import RunDirectory

LONGEST_S = 1200  # for all commands of the page, beside other tests
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONGEST_S + 60)]

NODE_PORT = "$((9094 + $1))"


def script():
    """Return the page's blocks with ports of loopback that nobody has; nothing else is changed."""
    http, fleet, *nodes = free_ports(5)
    text = "".join(blocks_of("deployment.md"))
    changes = {
        "127.0.0.1:8000": f"127.0.0.1:{http}",
        "--port 8000": f"--port {http}",
        ":9092": f":{fleet}",
        NODE_PORT: f"$(echo {' '.join(map(str, nodes))} | cut -d' ' -f$(($1 + 1)))",
    }
    for on_the_page, here in changes.items():
        assert on_the_page in text
        text = text.replace(on_the_page, here)
    return text


@pytest.fixture(scope="module")
def pasted(tmp_path_factory):
    """Run the page's script and return its folder and what it printed."""
    home = tmp_path_factory.mktemp("home")
    app = copy_app(home / "eafl-flower")
    not_given = {"FLWR_HOME", "EAFL_DATA_DIR"}  # the page says where the one is, and needs no other
    env = {key: value for key, value in environment(home).items() if key not in not_given}
    env |= {"HOME": str(home), "COLUMNS": "120"}
    of_this_checkout = f'eafl() {{ PYTHONPATH={app} command eafl "$@"; }}\n'
    with (home / "output").open("w") as output:
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", of_this_checkout + script()],
            cwd=app,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            status = shell.wait(timeout=LONGEST_S)
        finally:
            stop(shell, home / "federation")
    text = (home / "output").read_text()
    print(text)
    for log in sorted((home / "federation").glob("*.log")):
        print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-40:], sep="\n")
    assert status == 0
    return home / "federation", text


def stop(shell, folder):
    """End what is left: nothing, if the script came to its end."""
    started = {shell.pid: "", **descendants(shell.pid)}
    for file in folder.glob("*.pid"):
        pid = int(file.read_text())
        if "flower-" in command_line(pid):
            os.kill(pid, signal.SIGTERM)
            started |= {pid: "", **descendants(pid)}
    with suppress(subprocess.TimeoutExpired):
        shell.wait(timeout=10)
    kill_all(started)


def test_the_job_of_the_page_ends_and_the_two_nodes_learn(pasted):
    folder, _ = pasted
    (path,) = (folder / "runs").glob("two-rsus-*")
    run = RunDirectory.open(path)
    summary = run.summary()
    assert (summary["merges"], summary["refused"], summary["lost"], summary["errors"]) == (10, 0, 0, 0)
    held_out = [row["manoeuvre"] for node in range(2) for row in rows(folder, node) if float(row["time_s"]) >= 45]
    majority = max(held_out.count(kind) for kind in set(held_out)) / len(held_out)
    assert summary["accuracy"]["before"] > majority + 0.03
    for node in range(2):  # the server tells the nodes what it made of their sums
        (held,) = (folder / "state" / f"rsu-{node}").glob(f"shape-{node}-*.json")
        assert json.loads(held.read_text())["mean"] == run.description().scaler.mean.tolist()


def test_a_node_predicts_by_the_model_and_its_own_head(pasted):
    folder, output = pasted
    (told,) = re.findall(r"accuracy [0-9.]+ %, ([0-9]+) of ([0-9]+) rows", output)
    right, of = map(int, told)
    with (folder / "at-rsu-0" / "predictions.csv").open() as file:
        predicted = [row["class"] for row in csv.DictReader(file)]
    true = [row["manoeuvre"] for row in rows(folder, 0)]
    assert of == len(true) == len(predicted)
    assert right == sum(a == b for a, b in zip(predicted, true, strict=True)) > of / 2


def test_the_stopped_job_goes_on_with_one_node_more_and_then_with_one_less(pasted):
    folder, _ = pasted
    (path,) = (folder / "runs").glob("longer-*")
    run = RunDirectory.open(path)
    events = run.events()
    merges = [event for event in events if event["event"] == "merge"]
    assert [event["merge"] for event in merges] == list(
        range(1, len(merges) + 1)
    )  # the second run went on from the first
    first_of_the_third = next(place for place, event in enumerate(merges) if event["client"] == 2)
    assert {event["client"] for event in merges[:first_of_the_third]} <= {0, 1}
    lost = {event["client"] for event in events if event["event"] == "lost"}
    away = {client for event in events if event["event"] == "status" for client in event["away_clients"]}
    assert 1 in lost | away  # lost with its job, or between two
    assert run.has_checkpoint and not run.finished


def rows(folder, node):
    with (folder / "rows" / f"rsu-{node}.csv").open() as file:
        return list(csv.DictReader(file))
