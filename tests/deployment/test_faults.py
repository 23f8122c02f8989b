"""One run in which everything goes wrong at once that can go wrong in a deployment, each on a node of its own.

=========  =========================================================================================================
node-0     the network to it is cut for a minute (where namespaces can be made)
node-1     its client raises, sends NaN, garbage, 64 MiB, something else, an old update, returns None
node-2     its client exits in its first job, as if it had crashed
node-3     its client hangs in its first job
node-4     is killed; another machine with another key, and what was on its disk, takes its place
node-5     sends each reply three times
=========  =========================================================================================================
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("flwr.client.grpc_rere_client", reason="SuperNodes speak gRPC up to flwr 1.39")

from federation import NAME, Federation, copy_app
from namespaces import namespace, why_not
from pure_core import replay
from two_nodes import merges_of, run_of, stored_arrays
from wire_node import WireNode

from eafl_flower.config import RunConfig
from eafl_flower.conformance.event_log import check_events
from eafl_flower.types import digest

pytestmark = pytest.mark.slow

NODES = 6
CUT_S = 62.0  # a minute without a heartbeat makes a node absent
TIMEOUT_S = 100.0  # longer than Flower needs to miss a process that has ended
FAULTS = {1: "fine raise nan fine garbage huge fine other old fine none", 2: "exit", 3: "hang"}
JOB = """
name = "trouble"
seed = 7

[data]
clients = {clients}
unseen = 0

[data.idm]
rows-per-client = 32

[strategy]
merges = 1000

[codec]
name = "int8"

[job]
reply-timeout-s = {timeout_s}

[results]
dir = "{results}"
baselines = "none"
"""
NO_NAMESPACES = why_not()


@pytest.fixture(scope="module")
def trouble(tmp_path_factory):
    """The run, when all has happened: what it has told, and what its processes wrote."""
    folder = tmp_path_factory.mktemp("faults")
    app = copy_app(folder / "eafl-flower")
    (app / "eafl_flower" / "client_app.py").write_text((Path(__file__).parent / "misbehaving.py").read_text())
    if NO_NAMESPACES:
        with Federation(folder / "federation") as federation:
            yield Trouble(federation, app).happens()
    else:
        with namespace() as cable, Federation(folder / "federation", cable.here) as federation:
            yield Trouble(federation, app, cable).happens()


@dataclass
class Trouble:
    """Lets everything happen and waits until everybody has got over it."""

    federation: Federation
    app: Path
    cable: object = None
    marks: SimpleNamespace = field(default_factory=SimpleNamespace)

    def happens(self):
        federation, results = self.federation, self.federation.folder / "results"
        federation.start_superlink()
        names = [f"node-{node}" for node in range(NODES)]
        federation.register(*(federation.make_key(name) for name in (*names, "another")))
        for node in range(NODES - 1):
            self.start_node(f"node-{node}", node)
        job = results.with_suffix(".toml")
        job.write_text(JOB.format(clients=NODES, timeout_s=TIMEOUT_S, results=results))
        address, key = f"{federation.fleet_host}:{federation.fleet}", federation.folder / "keys" / f"node-{NODES - 1}"
        with WireNode(address, federation.ca, key, self.node_config(NODES - 1), pause_s=3.0) as repeater:
            run_id = federation.submit(self.app, job)
            federation.wait_until(lambda: results.is_dir() and any(results.glob("*/events.jsonl")), 300, "no run")
            self.run = run_of(results)
            self.wait_for_merges({0: 1, 4: 1, 5: 1})
            federation.kill("node-4")
            self.start_node("another", 4)
            if self.cable is not None:
                self.cable.cut()
                self.marks.cut = len(self.run.events())
                time.sleep(CUT_S)
                self.marks.mended = len(self.run.events())
                self.cable.mend()
            merges = {event["client"]: event["counter"] for event in merges_of(self.run)}
            after = len(FAULTS[1].split()) + 1
            self.wait_for_merges({0: merges[0] + 1, 1: after, 2: 2, 3: 2, 4: merges[4] + 1})
            self.repeater_error = repeater.error  # once the run is stopped, the SuperLink takes no more replies
            federation.flwr("stop", run_id, NAME)
            federation.wait_until(lambda: not federation.server_apps(), 120, "the ServerApp goes on")
        self.events, self.log = self.run.events(), federation.flwr("log", run_id, NAME, "--show")
        self.superlink = federation.log("superlink")
        return self

    def start_node(self, name, partition):
        inside = self.cable.inside if partition == 0 and self.cable is not None else ()
        key = self.federation.folder / "keys" / name
        self.federation.start_node(name, key, self.node_config(partition), inside=inside)

    def node_config(self, partition):
        state = str(self.federation.folder / f"state-{partition}")
        shared = {"partition-id": partition, "num-partitions": NODES, "state-dir": state}
        pause = {} if partition in FAULTS else {"pause-s": 5}  # jobs cost a process each
        return {**shared, **pause, "faults": FAULTS.get(partition, "")}

    def wait_for_merges(self, counters):
        """Wait until of each of these clients a job with at least this number was merged."""

        def there():
            newest = {event["client"]: event["counter"] for event in merges_of(self.run)}
            return all(newest.get(client, 0) >= counter for client, counter in counters.items())

        self.federation.wait_until(there, 400, f"not merged: jobs {counters}")

    def of(self, client):
        """How each job of a client ended, by number; "late" beside it, if its reply came after that."""
        ended = {}
        for event in self.events:
            if event.get("client") == client and event["event"] != "late":
                ended.setdefault(event["counter"], []).append((event["event"], event.get("reason", "")))
        assert all(len(how) == 1 for how in ended.values())
        return {counter: how for counter, (how,) in ended.items()}

    def merged_after(self, client, place):
        return [e for e in self.events[place:] if e["event"] == "merge" and e["client"] == client]


@pytest.fixture(autouse=True)
def logs(trouble):
    """Let a failed test show what happened."""
    yield
    print(trouble.federation.logs())


def test_what_was_merged_is_each_accepted_update_once(trouble):
    check_events(trouble.events)
    merges = merges_of(trouble.run)
    assert [event["merge"] for event in merges] == list(range(1, len(merges) + 1))
    assert len({(event["client"], event["counter"]) for event in merges}) == len(merges)
    replayed = replay(RunConfig.from_toml(trouble.run.config_path), merges, in_flight=NODES, clients=NODES)
    assert [event["metrics"]["loss"] for event in merges] == replayed.losses
    checkpoint = trouble.run.checkpoint_dir / "server.safetensors"
    assert digest(stored_arrays(checkpoint, "/aggregator//arrays/")) == digest(replayed.arrays)


def test_a_client_that_misbehaves_is_told_each_time_and_trains_on(trouble):
    ended = trouble.of(1)
    assert [ended[counter][0] for counter in (1, 4, 7, 10)] == ["merge"] * 4
    for counter, kind, words in (
        (2, "error", "error 2: ValueError: the lidar is dirty"),
        (3, "refused", "values that are NaN or infinite"),
        (5, "refused", "not a payload of this package, or altered"),
        (6, "refused", "not a payload of this package, or altered"),
        (8, "refused", "is not coded"),
        (9, "refused", "holds the payload of job 7"),
        (11, "error", "returned NoneType; expected Message(..., reply_to=message)"),
    ):
        assert ended[counter][0] == kind and words in ended[counter][1], (counter, ended[counter])
    assert "client 1, failed: error 2: ValueError: the lidar is dirty" in trouble.log


def test_a_client_that_exits_is_missed_by_flower_and_its_node_goes_on(trouble):
    ended = trouble.of(2)
    assert ended[1][0] == "error" and ended[1][1].startswith("error 8")
    assert ended[2][0] == "merge"


def test_a_client_that_hangs_is_given_up_on_both_sides_and_its_node_goes_on(trouble):
    ended = trouble.of(3)
    assert ended[1][0] == "timeout"
    assert "merge" in [how for how, _ in ended.values()]
    assert f"no answer to a message of type train after {TIMEOUT_S:g} s" in trouble.log


def test_another_machine_takes_the_place_of_a_killed_one_with_what_is_on_its_disk(trouble):
    ended = [how for how, _ in trouble.of(4).values()]
    assert ended.count("lost") == 1
    assert ended[-1] == "merge"
    assert "both have partition-id 4: the second gets no jobs while the first is there" in trouble.log
    assert "client 4 has lost its state" not in trouble.log


def test_a_reply_that_comes_again_is_dropped_by_the_superlink(trouble):
    assert trouble.repeater_error is None
    ended = [how for how, _ in trouble.of(5).values()]
    assert "merge" in ended
    assert set(ended) <= {"merge", "unfinished", "lost"}, trouble.of(5)
    assert ended.count("lost") <= 1  # its heartbeats may come late, where tests share a machine
    assert "duplicate reply" in trouble.superlink


@pytest.mark.skipif(bool(NO_NAMESPACES), reason=NO_NAMESPACES)
def test_a_network_cut_of_a_minute_costs_the_job_at_most(trouble):
    during = trouble.events[trouble.marks.cut : trouble.marks.mended]
    assert {event["client"] for event in during if event["event"] == "merge"} <= {1, 2, 4, 5}
    assert len([event for event in during if event["event"] == "merge"]) > 5  # the others go on
    assert trouble.merged_after(0, trouble.marks.mended)
    assert [how for how, _ in trouble.of(0).values()].count("lost") <= 1
    assert "client 0 has lost its state" not in trouble.log
