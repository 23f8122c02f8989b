"""Jobs that nobody will ever answer, although their node is there. Nothing asserted depends on how long things take."""

import threading
import time

import pytest
from threaded_grid import ThreadedGrid
from toy_federation import run_toy, toy_app

from eafl_flower.conformance.event_log import check_events
from eafl_flower.engines.flower_internals import set_message_id
from eafl_flower.runs.loop import overdue
from eafl_flower.strategies import EMAM

LONG_S = 60.0  # longer than the test may take


@pytest.fixture(autouse=True)
def overdue_soon(monkeypatch):
    monkeypatch.setattr(overdue, "FIRST_S", 0.4)


class Lossy(ThreadedGrid):
    """Loses the first ``loses`` jobs of client 0 on their way: they are sent, and nothing is ever heard of them."""

    loses = 1

    def push_messages(self, messages):
        message = list(messages)[-1]
        node, kind = message.metadata.dst_node_id, message.metadata.message_type
        if (node, kind) != (self.node_id(0), "train") or self.loses == 0:
            return super().push_messages(messages)
        self.loses -= 1
        set_message_id(message, f"lost-{self.loses}")
        self.pushed.append((node, kind))
        self._open[f"lost-{self.loses}"] = node
        return [f"lost-{self.loses}"]


@pytest.fixture
def deploy():
    grids = []

    def make(app, num_nodes, grid=ThreadedGrid, **options):
        grids.append(grid(app, num_nodes, **options))
        return grids[-1]

    yield make
    for grid in grids:
        grid.close()


def run_deployed(grid, merges, **options):
    return run_toy(merges=merges, grid=grid, **{"backoff_s": 0.02, "timeout": LONG_S, **options})


def questions(grid, client):
    """How often a node was asked who it is, without the question at the start."""
    return grid.pushed.count((grid.node_id(client), "query")) - 1


def test_a_job_that_was_lost_on_its_way_is_sent_again_and_told(deploy, flower_log):
    grid = deploy(toy_app(), 3, Lossy, delay=lambda client, number: 0.02)
    run, recorder = run_deployed(grid, 100)
    (lost,) = recorder.of("lost")
    assert (lost["client"], lost["counter"]) == (0, 1)
    assert {e["client"] for e in recorder.of("merge")} == {0, 1, 2}
    assert run.tally.lost == 1
    assert "job 1 of client 0 was lost on its way: its node answers, and has no such job" in flower_log.text
    check_events(recorder.events)


def test_a_round_is_not_held_up_for_a_job_that_was_lost(deploy):
    grid = deploy(toy_app(), 3, Lossy)
    run, recorder = run_deployed(grid, 3, strategy=EMAM)
    assert run.version == 3
    assert [(e["client"], e["counter"]) for e in recorder.of("lost")] == [(0, 1)]


@pytest.mark.slow
def test_a_slow_client_is_asked_once_a_job_and_loses_none(deploy):
    delay = lambda client, number: 1.0 if client == 0 else 0.02  # noqa: E731
    grid = deploy(toy_app(), 2, delay=delay)
    run, recorder = run_deployed(grid, 150)
    slow = [e["counter"] for e in recorder.of("merge") if e["client"] == 0]
    assert slow == list(range(1, len(slow) + 1))
    assert len(slow) >= 2
    assert run.tally.lost == 0
    assert 1 <= questions(grid, 0) <= len(slow) + 1


@pytest.mark.slow
def test_of_a_reply_and_an_answer_that_come_together_the_reply_counts(deploy):
    """All that client 0 sends is held back until its job is done and its question answered, and comes the wrong way."""
    grid = deploy(toy_app(), 2, delay=lambda client, number: 0.6 if client == 0 else 0.02)
    pull, held, given = grid.pull_messages, {}, []

    def pull_messages(ids):
        replies = []
        for reply in pull([i for i in ids if i not in held]):
            is_held = reply.metadata.src_node_id == grid.node_id(0) and questions(grid, 0) == 1 and not given
            if is_held:
                held[reply.metadata.reply_to_message_id] = reply
            else:
                replies.append(reply)
        if len(held) == 2 and not given:
            given.extend(sorted(held.values(), key=lambda reply: reply.metadata.message_type == "train"))
            replies += given
        return replies

    grid.pull_messages = pull_messages
    run, recorder = run_deployed(grid, 100)
    assert [reply.metadata.message_type for reply in given] == ["query", "train"]
    assert run.tally.lost == 0
    assert (0, 1) in [(e["client"], e["counter"]) for e in recorder.of("merge")]


def test_a_client_that_hangs_is_told_with_what_to_do_and_no_evaluation_waits_for_it(deploy, flower_log):
    app, over = toy_app(), threading.Event()

    def stuck(message, context):
        if context.node_config["partition-id"] == 2 and message.metadata.message_type == "train":
            over.wait(LONG_S)
        return app(message, context)

    grid = deploy(stuck, 3, delay=lambda client, number: 0.02)
    try:
        run, recorder = run_deployed(grid, 200)
    finally:
        over.set()
    assert run.version == 200
    assert {e["client"] for e in recorder.of("merge")} == {0, 1}
    told = [r.getMessage() for r in flower_log.records if "client 2 has not answered for" in r.getMessage()]
    assert len(set(told)) == 1
    assert "the job is given up 60 s after it was sent (job.deadline-s" in told[0]
    assert [kind for node, kind in grid.pushed].count("evaluate") == 2
    assert questions(grid, 2) == 1


def test_a_client_that_answers_again_takes_part_again(deploy):
    """Its first job hangs for longer than makes it silent; then it goes on as if nothing had been."""
    grid = deploy(toy_app(), 3, delay=lambda client, number: 1.2 if (client, number) == (2, 1) else 0.02)
    run, recorder = run_deployed(grid, 200)
    assert [e["counter"] for e in recorder.of("merge") if e["client"] == 2][:2] == [1, 2]
    assert [kind for node, kind in grid.pushed].count("evaluate") == 3
    assert run.tally.lost == 0


class AsFlowers(ThreadedGrid):
    """Tells of a node that is away only whoever asks meanwhile, and of what it was sent before nobody ever again."""

    def stop(self, partition):
        with self._lock:
            node = self.node_id(partition)
            self._online.discard(node)
            self._queues.pop(node).put(None)

    def pull_messages(self, message_ids):
        with self._lock:
            for i in [i for i in message_ids if i in self._open and self._open[i] not in self._online]:
                del self._open[i]
                self._done[i] = self._gone(i)
        return super().pull_messages(message_ids)

    def push_messages(self, messages):
        message = list(messages)[-1]
        if (message.metadata.dst_node_id, message.metadata.message_type) != (self.node_id(2), "evaluate"):
            return super().push_messages(messages)
        set_message_id(message, "lost")
        self._open["lost"] = self.node_id(2)
        self.stop(2)
        threading.Timer(0.3, self.start, [2]).start()
        return ["lost"]


def test_a_node_that_is_started_again_during_an_evaluation_is_not_waited_for(deploy, flower_log):
    """Client 0 takes so long to evaluate that node 2 is back before it has answered."""
    app = toy_app()

    def slow(message, context):
        if (message.metadata.message_type, context.node_config["partition-id"]) == ("evaluate", 0):
            time.sleep(1.0)
        return app(message, context)

    grid = deploy(slow, 3, AsFlowers, delay=lambda client, number: 0.0)
    run, _ = run_deployed(grid, 6, timeout=5.0)
    assert "evaluation on client 2 failed: error 5" in flower_log.text
    assert "1 of 3 clients are left out" in flower_log.text
    assert run.client_scores[6]
