"""Apps without a query or evaluate function are asked once, and Flower's runtime logs no traceback for it."""

import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from foreign_app import NUM_CLIENTS, ordinary_app, run_foreign

from eafl_flower.strategies import EMAM, AsyncEMAM


def asked(app, kinds):
    """Note the kind of each message on its way to ``app``, and log what it raises as Flower's runtime does."""

    def called(message, context):
        kinds.append((message.metadata.message_type, context.node_config["partition-id"]))
        try:
            return app(message, context)
        except Exception as error:
            logger = logging.getLogger("flwr")
            logger.error(error)
            logger.error(traceback.format_exc())
            raise

    return called


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM])
def test_a_client_without_an_evaluate_function_is_asked_once_and_told_of_once(strategy, flower_log):
    kinds = []
    result, _ = run_foreign(strategy(), 4, app=asked(ordinary_app(evaluates=False), kinds))
    for kind in ("query", "evaluate"):
        assert sorted(client for k, client in kinds if k == kind) == list(range(NUM_CLIENTS))
    said = {r.getMessage() for r in flower_log.records}
    assert len([text for text in said if "evaluate" in text]) == 1
    assert f"{NUM_CLIENTS} clients have no evaluate function" in flower_log.text
    assert "Traceback" not in flower_log.text
    assert "No query function" not in flower_log.text
    assert result.evaluate_metrics_clientapp == {}
    assert list(result.train_metrics_clientapp) == [1, 2, 3, 4]


def test_other_errors_of_an_app_are_logged_as_ever(flower_log):
    def fail(values):
        raise OSError("disk gone")

    app = asked(ordinary_app(change=fail), [])
    with pytest.raises(Exception, match="disk gone"):
        run_foreign(AsyncEMAM(), 1, app=app)
    assert "Traceback" in flower_log.text
    logging.getLogger("flwr").error("No query function registered with name 'default'")  # after the run
    assert "No query function" in flower_log.text


def test_clients_with_an_evaluate_function_are_asked_on(flower_log):
    ours, theirs, kinds = ordinary_app(), ordinary_app(evaluates=False), []

    def mixed(message, context):
        return (ours if context.node_config["partition-id"] % 2 else theirs)(message, context)

    result, _ = run_foreign(AsyncEMAM(), 3, app=asked(mixed, kinds))
    assert list(result.evaluate_metrics_clientapp) == [1, 2, 3]
    assert len([k for k, client in kinds if k == "evaluate" and client % 2]) == 3 * 3
    assert len([k for k, client in kinds if k == "evaluate" and not client % 2]) == 3


SCRIPT = """
from flwr.serverapp import ServerApp
from foreign_app import ordinary_app, start
from eafl_flower.engines import run_on_flower
from eafl_flower.strategies import AsyncEMAM

server = ServerApp()

@server.main()
def main(grid, context):
    result = AsyncEMAM().start(grid, start(), num_rounds=2)
    print("rounds", list(result.train_metrics_clientapp))

run_on_flower(server, lambda: ordinary_app(evaluates=False), num_nodes=2)
"""


@pytest.mark.slow
def test_flowers_own_runtime_logs_no_error_for_the_questions():
    places = [str(Path(__file__).parents[1]), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "FLWR_HOME": os.devnull}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=100)
    assert "rounds [1, 2]" in done.stdout, done.stderr
    assert "2 clients have no evaluate function" in done.stderr
    assert "Traceback" not in done.stderr
    assert "ERROR" not in done.stderr
