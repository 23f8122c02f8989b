"""Nodes that come, go and return while a run is under way: who holds a partition, and what is sent anew."""

import os
import signal

import numpy as np
import pytest
from deployed_toys import DIFFERENCES, Director, merged_by, run_deployed, whole_jobs
from toy_federation import initial, toy_app

from eafl_flower.aggregation.reference import FedBuff
from eafl_flower.aggregation.staleness import HalfLife
from eafl_flower.codecs import Int8Codec
from eafl_flower.core.stopping import Stopped
from eafl_flower.errors import RunFailedError
from eafl_flower.strategies import AsyncEMAM, AsynchronousStrategy


def test_a_node_that_vanishes_is_a_lost_job_and_the_others_go_on(deploy):
    grid = deploy(toy_app(), 3, delay=lambda client, number: 0.02)
    recorder = Director({5: lambda: grid.stop(1)})
    run, _ = run_deployed(grid, 40, recorder=recorder)
    assert run.version == 40
    assert run.tally.lost == len(recorder.of("lost")) <= 2
    assert all(e["client"] == 1 for e in recorder.of("lost"))
    assert 1 not in {e["client"] for e in recorder.of("merge")[-20:]}
    assert np.isclose(run.ledger.total().energy_j, sum(e.get("energy_j", 0.0) for e in recorder.events))


def test_a_node_that_joins_gets_jobs(deploy):
    grid = deploy(toy_app(), 2, delay=lambda client, number: 0.01)
    recorder = Director({20: lambda: grid.start(2, num_partitions=3)})
    run, _ = run_deployed(grid, 80, recorder=recorder)
    assert run.version == 80
    assert merged_by(recorder) == {0, 1, 2}
    assert run.in_flight == 3


@pytest.mark.parametrize(("partition", "most"), [(2**40, 0), (3, 3)])
def test_a_node_that_speaks_of_too_many_partitions_gets_no_job(deploy, flower_log, partition, most):
    grid = deploy(toy_app(), 3, delay=lambda client, number: 0.01)
    recorder = Director({20: lambda: grid.start(partition, num_partitions=partition + 1)})
    run, _ = run_deployed(grid, 100, recorder=recorder, expected_nodes=most)
    assert merged_by(recorder) == {0, 1, 2}
    assert len(run.jobs.table.counter) == run.num_partitions == 3
    assert grid.pushed.count((grid.node_id(partition), "query")) == 1
    assert f"was started with num-partitions = {partition + 1}" in flower_log.text


def test_the_half_life_follows_the_nodes_that_join(deploy):
    grid = deploy(toy_app(), 2, delay=lambda client, number: 0.01)
    recorder = Director({10: lambda: [grid.start(client, num_partitions=8) for client in range(2, 8)]})
    run, _ = run_deployed(grid, 200, recorder=recorder, alpha=0.8)
    assert run.in_flight == 8
    assert run.aggregator.staleness == HalfLife(7.0)
    assert run.state.version == 200


def test_the_buffer_follows_the_nodes_that_join_and_nothing_in_it_is_lost(deploy):
    grid = deploy(toy_app(), 2, delay=lambda client, number: 0.01)
    recorder = Director({5: lambda: [grid.start(client, num_partitions=6) for client in range(2, 6)]})
    run, _ = run_deployed(
        grid,
        60,
        strategy=lambda **options: AsynchronousStrategy(lambda n, _: FedBuff(buffer_size=n), **options),
        recorder=recorder,
    )
    assert run.aggregator.buffer_size == run.in_flight == 6
    assert run.state.received == run.tally.updates > 2 * 60
    assert run.state.version == 60


def test_of_two_nodes_with_one_partition_the_first_works_while_it_is_there(deploy, flower_log):
    grid, twin, until_it_went = deploy(toy_app(), 3, delay=lambda client, number: 0.01), 5000, []

    def stop_the_first():
        until_it_went.extend(kind for node, kind in grid.pushed if node == twin)
        grid.stop(1)

    recorder = Director({20: lambda: grid.start(1, node=twin), 150: stop_the_first})
    run, _ = run_deployed(grid, 300, recorder=recorder)
    assert until_it_went == ["query"]
    assert [kind for node, kind in grid.pushed if node == twin][:3] == ["query", "query", "train"]
    assert run.jobs.members[1].node_id == twin
    assert run.tally.lost <= 1
    assert f"nodes {grid.node_id(1)} and {twin} both have partition-id 1" in flower_log.text


def test_a_partition_goes_back_to_the_node_that_had_it_first(deploy, flower_log):
    grid, twin = deploy(toy_app(), 3, delay=lambda client, number: 0.01), 5000
    first = grid.node_id(1)

    def replace_the_first():
        grid.stop(1)
        grid.start(1, node=twin)

    recorder = Director({20: replace_the_first, 150: lambda: grid.start(1, node=first)})
    run, _ = run_deployed(grid, 300, recorder=recorder)
    assert (twin, "train") in grid.pushed
    assert run.jobs.members[1].node_id == first
    assert f"nodes {first} and {twin} both have partition-id 1" in flower_log.text


def test_a_node_that_returns_with_nothing_starts_afresh_and_says_so(deploy):
    grid = deploy(toy_app(), 2, delay=lambda client, number: 0.01)

    def restart():
        grid.stop(1)
        grid.start(1)

    recorder = Director({15: restart})
    run, _ = run_deployed(grid, 60, recorder=recorder)
    assert run.version == 60
    assert run.tally.states_lost == 1
    assert 1 in {e["client"] for e in recorder.of("merge")[-10:]}


def test_a_node_that_returns_goes_on_from_its_files(deploy, tmp_path):
    grid = deploy(toy_app(state_dir=tmp_path), 2, delay=lambda client, number: 0.01)

    def restart():
        grid.stop(1)
        grid.start(1)

    recorder = Director({15: restart})
    run, _ = run_deployed(grid, 60, recorder=recorder)
    assert run.tally.states_lost == 0
    jobs = [e["metrics"]["jobs"] for e in recorder.of("merge") if e["client"] == 1]
    assert jobs == sorted(jobs)
    assert jobs[-1] == len(jobs)


def test_a_resume_does_not_wait_for_a_node_that_the_run_had_lost(deploy, tmp_path):
    """Nor does the next one, whose checkpoint was made without it; when the node is back, it works again."""
    options = {"checkpoint": tmp_path / "server.safetensors", "min_available_nodes": 3}
    app = toy_app(state_dir=tmp_path / "state")
    recorder = Director({40: lambda: os.kill(os.getpid(), signal.SIGTERM)})
    first = deploy(app, 3, delay=lambda client, number: 0.01)
    recorder.acts[5] = lambda: first.stop(1)
    with pytest.raises(Stopped):
        run_deployed(first, 1000, recorder=recorder, **options)
    for stop_at in (80, 120):
        grid = deploy(app, 3, online=(0, 2), delay=lambda client, number: 0.01)
        recorder.acts[stop_at] = lambda: os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped):
            run_deployed(grid, 1000, recorder=recorder, resume=True, **options)
    assert 1 not in {e["client"] for e in recorder.of("merge")[-70:]}
    last = deploy(app, 3, online=(0, 2), delay=lambda client, number: 0.01)
    recorder.acts[140] = lambda: last.start(1)
    run, _ = run_deployed(last, 200, recorder=recorder, resume=True, **options)
    assert run.version == 200
    assert 1 in {e["client"] for e in recorder.of("merge")[-60:]}
    assert run.tally.states_lost == 0


@pytest.mark.slow
def test_a_resume_waits_for_a_node_that_the_run_had(deploy, tmp_path):
    options = {"checkpoint": tmp_path / "server.safetensors"}
    recorder = Director({10: lambda: os.kill(os.getpid(), signal.SIGTERM)})
    with pytest.raises(Stopped):
        run_deployed(deploy(toy_app(), 3), 1000, recorder=recorder, **options)
    with pytest.raises(RunFailedError, match="2 of 3 nodes answered"):
        run_deployed(deploy(toy_app(), 3, online=(0, 2)), 20, recorder=recorder, resume=True, **options)


@pytest.mark.parametrize("has_files", [False, True])
def test_a_node_that_returns_is_sent_whole_arrays_only_if_it_holds_nothing(deploy, tmp_path, has_files):
    app = toy_app(codec=DIFFERENCES, state_dir=tmp_path if has_files else None)
    grid = deploy(app, 2, delay=lambda client, number: 0.01)

    def restart():
        grid.stop(1)
        grid.start(1)

    recorder = Director({15: restart})
    run, _ = run_deployed(grid, 60, recorder=recorder, codec=DIFFERENCES, error_budget=1)
    assert run.version == 60
    assert run.tally.refused == run.tally.states_lost == (0 if has_files else 1)
    whole = whole_jobs(run, recorder)
    assert {(0, 1), (1, 1)} <= whole
    assert len(whole) == (2 if has_files else 3)
    assert 1 in {e["client"] for e in recorder.of("merge")[-10:]}
    for client, stream in run.jobs.models.first.side.streams._resting.items():
        assert stream.decoder.reference == stream.acknowledged, client


def test_a_node_that_joins_is_sent_whole_arrays_first_and_differences_then(deploy):
    grid = deploy(toy_app(codec=DIFFERENCES, plain=(3,)), 2, delay=lambda client, number: 0.01)
    recorder = Director({20: lambda: [grid.start(client, num_partitions=4) for client in (2, 3)]})
    run, _ = run_deployed(grid, 100, recorder=recorder, codec=DIFFERENCES)
    (plain,) = [client for client, member in run.jobs.members.items() if member.plain]
    assert merged_by(recorder) == {*run.jobs.members}
    assert whole_jobs(run, recorder) == {(client, 1) for client in run.jobs.members if client != plain}
    assert {e["downlink_bytes"] for e in recorder.of("merge") if e["client"] == plain} == {run.models.raw_bytes}
    assert run.tally.refused == 0


def test_too_few_nodes_at_the_start_end_the_run(deploy):
    grid = deploy(toy_app(), 4, online=[0, 1])
    with pytest.raises(RunFailedError, match=r"2 of 4 nodes answered within 0.3 s"):
        AsyncEMAM(node_timeout_s=0.3).start(grid, initial(), num_rounds=3)


def test_plain_nodes_get_numbers_behind_all_partitions_also_when_they_join(deploy):
    grid = deploy(toy_app(plain=(1, 3)), 3, delay=lambda client, number: 0.01)
    recorder = Director({20: lambda: grid.start(3)})
    run, _ = run_deployed(grid, 80, recorder=recorder)
    assert merged_by(recorder) == {0, 2, 3, 4}
    plain = {client for client, member in run.jobs.members.items() if member.plain}
    assert plain == {3, 4}


def test_a_node_whose_mod_decodes_is_sent_payloads_also_when_it_joins(deploy):
    """Its app has no answer to the query: the mod is asked, and the number of examples is that of the first reply."""
    codec = Int8Codec(block_size=4)
    app = toy_app(codec=codec)

    def without_a_query(message, context):
        if message.metadata.message_type == "query":
            raise ValueError("No query function registered with name 'default'")
        return app(message, context)

    grid = deploy(without_a_query, 2, delay=lambda client, number: 0.01)
    recorder = Director({20: lambda: grid.start(2, num_partitions=3)})
    run, _ = run_deployed(grid, 80, recorder=recorder, codec=codec)
    assert merged_by(recorder) == {0, 1, 2}
    assert not any(member.plain for member in run.jobs.members.values())
    assert list(run.jobs.table.num_examples) == [5, 10, 15]
