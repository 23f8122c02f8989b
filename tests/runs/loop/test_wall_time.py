"""The loop on the wall clock, with nodes that are threads. Delays are real; nothing asserted depends on them."""

import threading

import numpy as np
import pytest
from deployed_toys import DIFFERENCES, Director, merged_by, run_deployed, whole_jobs
from threaded_grid import ThreadedGrid
from toy_federation import Recorder, arrays_of_run, examples_of, network, run_toy, step_of, toy_app

from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.codecs.keys import session_key
from eafl_flower.conformance.event_log import check_events
from eafl_flower.errors import RunFailedError
from eafl_flower.strategies import EMAM
from eafl_flower.wire.replies import sizes_of


def test_replies_count_when_they_come(deploy):
    """The slow node takes as long as many jobs of the others: nobody waits for it."""
    grid = deploy(toy_app(), 3, delay=lambda client, number: 0.5 if client == 0 else 0.01)
    run, recorder = run_deployed(grid, 30)
    assert run.version == 30
    check_events(recorder.events)
    assert sum(e["client"] == 0 for e in recorder.of("merge")) < 10
    times = [e["time_s"] for e in recorder.of("merge")]
    assert times == sorted(times)


def test_one_client_at_a_time_gives_the_arrays_of_virtual_time(deploy):
    """Without concurrency the clock does not matter: the seed alone chooses the order."""
    on_the_wall, recorder = run_deployed(deploy(toy_app(), 3), 12, concurrency=1)
    virtual, expected = run_toy(3, 12, concurrency=1)
    assert [e["client"] for e in recorder.of("merge")] == [e["client"] for e in expected.of("merge")]
    assert on_the_wall.arrays_sha256() == virtual.arrays_sha256()


@pytest.mark.parametrize("codec", [Int8Codec(block_size=4), DIFFERENCES], ids=str)
def test_rounds_of_everybody_give_the_arrays_of_virtual_time(deploy, codec):
    """A barrier sums in the order of clients, whoever was first."""
    grid = deploy(toy_app(codec=codec), 4, delay=lambda client, number: 0.01 * ((client * 7 + number) % 4))
    on_the_wall, _ = run_deployed(grid, 4, strategy=EMAM, codec=codec)
    virtual, _ = run_toy(4, 4, strategy=EMAM, codec=codec)
    assert on_the_wall.arrays_sha256() == virtual.arrays_sha256()


def test_a_deployment_sends_each_client_a_session_key_of_its_own(deploy):
    codec, keys = LQGCMCodec(mode="dithered", tuples=2), {}

    class Listening(ThreadedGrid):
        def push_messages(self, messages):
            for message in messages:
                if message.metadata.message_type == "train":
                    terms = message.content["eafl"]
                    keys.setdefault(terms["client"], set()).add(terms["key"])
            return super().push_messages(messages)

    grid = Listening(toy_app(codec=codec), 3)
    try:
        run, _ = run_deployed(grid, 12, codec=codec)
    finally:
        grid.close()
    assert (run.version, run.tally.refused) == (12, 0)
    assert all(len(sent) == 1 and len(next(iter(sent))) == 32 for sent in keys.values())
    assert len(set.union(*keys.values())) == len(keys) == 3
    assert all(session_key(run.options.seed, client) not in sent for client, sent in keys.items())


def test_a_run_begun_with_a_key_of_its_users_is_resumed_without_one_under_fresh_keys(deploy, tmp_path):
    """Its open job, too: it is sent again. A resume after that keeps the keys."""
    shared = LQGCMCodec(mode="dithered", tuples=2, session_key=bytes(range(32)))
    codec, secrets, over = LQGCMCodec(mode="dithered", tuples=2), [], threading.Event()

    class Listening(ThreadedGrid):
        def push_messages(self, messages):
            keys.extend(m.content["eafl"].get("key") for m in messages if m.metadata.message_type == "train")
            return super().push_messages(messages)

    def stuck(client, counter, arrays):
        if client == 2:
            over.wait()

    for now, merges, resume in ((shared, 8, False), (codec, 20, True), (codec, 32, True)):
        keys = []
        app = toy_app(codec=now, state_dir=tmp_path / "state", train=None if resume else stuck)
        options = {"checkpoint": tmp_path / "server.safetensors", "checkpoint_every": 4, "resume": resume}
        grid = Listening(app, 3)
        try:
            run, recorder = run_deployed(grid, merges, codec=now, evaluate_clients=False, **options)
        finally:
            over.set()
            grid.close()
        assert (run.version, run.tally.refused) == (merges, 0)
        assert [bool(key) for key in keys] == [resume] * len(keys)
        assert resume or 2 in {e["client"] for e in recorder.of("unfinished")}
        secrets.append(run.jobs.models.secret)
    assert [len(secret) for secret in secrets] == [0, 32, 32]
    assert secrets[1] == secrets[2]


def test_a_late_reply_changes_nothing_of_what_both_sides_hold(deploy):
    """The third job of client 0 is given up, though it trains: the next one builds on the state before it."""
    delay = lambda client, number: 0.6 if (client, number) == (0, 3) else 0.02  # noqa: E731
    grid = deploy(toy_app(codec=DIFFERENCES), 2, delay=delay)
    run, recorder = run_deployed(grid, 60, deadline_s=0.3, codec=DIFFERENCES)
    assert (0, 3) in [(e["client"], e["counter"]) for e in recorder.of("timeout")]
    assert 0 in merged_by(recorder)
    assert run.tally.refused == run.tally.states_lost == 0
    assert whole_jobs(run, recorder) == {(0, 1), (1, 1)}


def test_a_late_reply_is_counted_and_booked_but_not_merged(deploy, clocks):
    """The first job of client 0 is given up after 0.3 s; its answer comes at 0.6 s."""
    grid = deploy(toy_app(), 2, delay=lambda client, number: 0.6 if (client, number) == (0, 1) else 0.02)
    pull, pulled = grid.pull_messages, []

    def pull_messages(message_ids):
        replies = pull(message_ids)
        pulled.extend(sizes_of(r.content) for r in replies if r.has_content() and r.metadata.message_type == "train")
        return replies

    grid.pull_messages = pull_messages
    run, recorder = run_deployed(grid, 60, deadline_s=0.3)
    assert run.tally.timed_out == len(recorder.of("timeout"))
    assert (0, 1) in [(e["client"], e["counter"]) for e in recorder.of("timeout")]
    assert run.tally.late == len(recorder.of("late")) >= 1
    assert (0, 1) in [(e["client"], e["counter"]) for e in recorder.of("late")]
    assert all((e["client"], e["counter"]) != (0, 1) for e in recorder.of("merge"))
    assert 0 in merged_by(recorder)
    check_events(recorder.events)
    booked, unseen = run.ledger.total("uplink"), len(clocks[-1]._inbox)
    assert unseen < len(pulled)
    seen = pulled[: len(pulled) - unseen]
    assert (booked.payload_bytes, booked.framed_bytes) == tuple(map(sum, zip(*seen, strict=True)))
    assert_events_hold_the_ledger(run, recorder)


def test_the_error_of_a_job_that_was_given_up_is_told(deploy, flower_log):
    def broken(client, counter, arrays):
        if (client, counter) == (0, 1):
            raise ValueError("the disk is full")

    delay = lambda client, number: 0.4 if (client, number) == (0, 1) else 0.02  # noqa: E731
    run, recorder = run_deployed(deploy(toy_app(train=broken), 2, delay=delay), 60, deadline_s=0.2)
    assert (0, 1) in [(e["client"], e["counter"]) for e in recorder.of("timeout")]
    assert "client 0, whose job 1 was given up: error 2: ValueError: the disk is full" in flower_log.text
    assert run.tally.errors == 0


def assert_events_hold_the_ledger(run, recorder):
    for kind in ("uplink", "downlink"):
        booked = run.ledger.total(kind)
        assert booked.payload_bytes == sum(e.get(f"{kind}_bytes", 0) for e in recorder.events)
        assert booked.framed_bytes == sum(e.get(f"{kind}_framed_bytes", 0) for e in recorder.events)
    assert run.ledger.total().energy_j == pytest.approx(sum(e.get("energy_j", 0.0) for e in recorder.events))


def test_replies_that_never_come_are_forgotten_after_the_timeout(deploy):
    """Client 2 never ends a job, client 3 never says who it is; 200 merges of two others take a second."""
    app, over, pulled = toy_app(), threading.Event(), []

    def sometimes_stuck(message, context):
        kind, client = message.metadata.message_type, context.node_config["partition-id"]
        if (kind, client) in (("train", 2), ("query", 3)):
            over.wait()
        return app(message, context)

    grid = deploy(sometimes_stuck, 3, delay=lambda client, number: 0.01)
    pull = grid.pull_messages

    def pull_messages(message_ids):
        pulled.append(set(message_ids))
        return pull(message_ids)

    grid.pull_messages = pull_messages
    recorder = Director({5: lambda: grid.start(3, num_partitions=4)})
    try:
        run, _ = run_deployed(grid, 200, recorder=recorder, deadline_s=0.1, timeout=0.3, evaluate_clients=False)
    finally:
        over.set()
    assert run.version == 200
    for client, kind in ((3, "query"), (2, "train")):
        numbers = [k for k, pushed in enumerate(grid.pushed) if pushed == (grid.node_id(client), kind)]
        assert len(numbers) >= 2
        first = f"m{numbers[0] + 1}"
        assert any(first in ids for ids in pulled)
        assert first not in pulled[-1]


def test_a_reply_that_comes_twice_counts_once(deploy):
    grid = deploy(toy_app(), 3, twice=True, delay=lambda client, number: 0.005)
    run, recorder = run_deployed(grid, 30)
    check_events(recorder.events)
    assert run.tally.updates == 30
    assert run.tally.late >= 25  # each merge but perhaps the last has a twin


def test_errors_of_clients_are_told_and_the_client_rests(deploy):
    def broken(client, counter, arrays):
        if client == 1:
            raise ValueError("the disk is full")

    grid = deploy(toy_app(train=broken), 3, delay=lambda client, number: 0.01)
    run, recorder = run_deployed(grid, 40)
    assert run.version == 40
    assert 1 <= run.tally.errors < 10
    assert recorder.of("error")[0]["reason"] == "error 2: ValueError: the disk is full"
    assert merged_by(recorder) == {0, 2}


def test_a_client_that_answers_with_an_error_had_everything_it_was_sent(deploy):
    """The price model's download takes 0.3 s, longer than all of the job on the wall."""

    def broken(client, counter, arrays):
        if client == 1:
            raise ValueError("the disk is full")

    grid = deploy(toy_app(train=broken), 3)
    run, recorder = run_deployed(grid, 20, **network(down=1e3))
    assert recorder.of("error")
    sizes = {(e["downlink_bytes"], e["downlink_framed_bytes"]) for e in recorder.of("merge") if e["client"] == 0}
    for event in recorder.of("error"):
        assert (event["downlink_bytes"], event["downlink_framed_bytes"]) in sizes
        assert event["uplink_bytes"] == 0
    assert_events_hold_the_ledger(run, recorder)


def test_when_all_clients_fail_the_run_ends_with_their_words(deploy):
    def broken(client, counter, arrays):
        raise ValueError("wrong data")

    with pytest.raises(RunFailedError, match=r"error budget 4.*wrong data"):
        run_deployed(deploy(toy_app(train=broken), 2), 5, error_budget=4)


def test_updates_that_are_not_finite_are_refused(deploy):
    codec = Int8Codec(block_size=4)

    def broken(client, counter, arrays):
        return [a * np.nan for a in arrays] if counter == 2 else None

    run, recorder = run_deployed(deploy(toy_app(codec=codec, train=broken), 2), 20, codec=codec)
    assert run.tally.refused == 2
    assert all(np.isfinite(a).all() for a in arrays_of_run(run))
    assert {e["counter"] for e in recorder.of("refused")} == {2}


def test_a_federation_that_is_gone_for_too_long_ends_the_run(deploy):
    grid = deploy(toy_app(), 2, delay=lambda client, number: 0.01)

    def stop():
        grid.stop(0)
        grid.stop(1)

    with pytest.raises(RunFailedError, match=r"no node has been online for 0.5 s: \d+ of \d+ merges made"):
        run_deployed(grid, 500, recorder=Director({6: stop}), timeout=0.5)


def test_the_last_evaluation_asks_everybody_who_is_there(deploy):
    grid = deploy(toy_app(), 3, delay=lambda client, number: 0.02)
    recorder = Director({10: lambda: grid.stop(2)})
    run, _ = run_deployed(grid, 20, recorder=recorder)
    mean = float(arrays_of_run(run)[0].mean())
    assert run.client_scores[20]["mean"] == pytest.approx(mean, rel=1e-6)
    asked = [kind for node, kind in grid.pushed if kind == "evaluate"]
    assert len(asked) == 2


@pytest.mark.parametrize("codec", [None, DIFFERENCES], ids=str)
def test_ctrl_c_leaves_a_checkpoint_and_the_run_goes_on_from_it(deploy, tmp_path, codec):
    app = toy_app(codec=codec, state_dir=tmp_path / "state")
    grid = deploy(app, 3, delay=lambda client, number: 0.01)
    options = {"codec": codec, "checkpoint": tmp_path / "server.safetensors", "run_name": "wall"}

    class Interrupting(Recorder):
        def write(self, event):
            super().write(event)
            if event.get("merge") == 15:
                grid.pull_messages = raising

    def raising(ids):
        raise KeyboardInterrupt

    recorder = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        run_deployed(grid, 40, recorder=recorder, **options)
    assert (tmp_path / "server.safetensors").exists()
    second = deploy(app, 3, delay=lambda client, number: 0.01)
    run, after = run_deployed(second, 40, resume=True, **options)
    assert run.version == 40
    counts = {}
    for event in recorder.of("merge") + after.of("merge"):
        counts[event["client"]] = counts.get(event["client"], 0) + 1
        assert event["metrics"]["jobs"] == counts[event["client"]]
    assert run.tally.states_lost == 0


def test_examples_and_steps_are_as_in_virtual_time(deploy):
    run, recorder = run_deployed(deploy(toy_app(), 2), 1, strategy=EMAM, alpha=1.0)
    assert {e["num_examples"] for e in recorder.of("merge")} == {examples_of(0), examples_of(1)}
    mean = (examples_of(0) * step_of(0) + examples_of(1) * step_of(1)) / 15
    np.testing.assert_allclose(arrays_of_run(run)[1], mean, rtol=1e-6)
