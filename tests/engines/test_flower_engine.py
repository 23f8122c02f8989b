"""Flower's own runtime, a process each: it starts Ray, threads and log handlers of its own."""

import os
import subprocess
import sys
import textwrap

import pytest

from eafl_flower.engines.ray_cluster import worker_environment

pytestmark = pytest.mark.slow

PRELUDE = """
import os, signal, sys, time
from flwr.serverapp import ServerApp
from tiny_clients import app_that_cannot_load, counting_app, train_message
from eafl_flower.engines import InlineGrid, run_on_flower, wait_for

def nodes_of(grid, number):
    while len(nodes := sorted(grid.get_node_ids())) < number:
        time.sleep(0.05)
    return nodes

server = ServerApp()
"""


def run(script):
    """Run a script with the names above; return its standard output."""
    environment = {**os.environ, **worker_environment(), "FLWR_HOME": os.devnull}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DEPRECATED FEATURE" not in done.stdout + done.stderr
    return done.stdout


def test_the_replies_are_those_of_the_inline_engine_and_a_client_cannot_end_its_worker():
    run(
        """
        def replies_on(grid, nodes):
            found = []
            for node, what in ((0, "train"), (1, "exit"), (0, "raise"), (0, "train"), (1, "train")):
                open_ids = list(grid.push_messages([train_message(nodes[node], do=what)]))
                (reply,) = wait_for(grid, open_ids, 120)
                assert wait_for(grid, [], 1) == []
                found.append(dict(reply.content["metrics"]) if reply.has_content() else reply.error.code)
            (reply,) = grid.send_and_receive([train_message(nodes[1])], timeout=120)
            return [*found, dict(reply.content["metrics"])]

        found = []

        @server.main()
        def main(grid, context):
            found.append(replies_on(grid, nodes_of(grid, 2)))

        names = ("RAY_ADDRESS", "PYTHONPATH", "OMP_NUM_THREADS")
        before = [os.environ.get(name) for name in names]
        run_on_flower(server, counting_app, num_nodes=2)
        assert [os.environ.get(name) for name in names] == before
        inline = InlineGrid(counting_app(), 2)
        assert found == [replies_on(inline, list(inline.get_node_ids()))], found
        """
    )


@pytest.mark.parametrize("error", ["ValueError('no more vehicles')", "SystemExit(7)"])
def test_what_the_server_app_raises_reaches_the_caller(error):
    run(
        f"""
        @server.main()
        def main(grid, context):
            raise {error}

        try:
            run_on_flower(server, counting_app, num_nodes=1)
        except BaseException as caught:
            assert repr(caught) == repr({error}), repr(caught)
        else:
            raise AssertionError("the run counted as a success")
        """
    )


def test_an_app_that_cannot_load_is_flowers_error_one():
    run(
        """
        @server.main()
        def main(grid, context):
            (reply,) = grid.send_and_receive([train_message(nodes_of(grid, 1)[0])], timeout=120)
            assert reply.error.code == 1, reply.error
            assert "the weights file is missing" in reply.error.reason

        run_on_flower(server, app_that_cannot_load, num_nodes=1)
        """
    )


def test_ctrl_c_reaches_a_server_app_that_waits_so_that_it_can_write_a_checkpoint(tmp_path):
    output = run(
        f"""
        @server.main()
        def main(grid, context):
            message = train_message(nodes_of(grid, 1)[0], do="sleep", marker={str(tmp_path / "pid")!r}, go="/never")
            ids = grid.push_messages([message])
            while not os.path.exists({str(tmp_path / "pid")!r}):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)
            try:
                wait_for(grid, ids)
            except KeyboardInterrupt:
                print("checkpoint written")
                raise

        try:
            run_on_flower(server, counting_app, num_nodes=1)
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert output.splitlines()[-2:] == ["checkpoint written", "interrupted"]
