"""A node answers a SuperLink as Flower's SuperNodes do, and keeps app and state between messages."""

import importlib
import importlib.metadata
import sys
import threading
import time

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from eafl_flower.engines.flower_internals import CODE_CLIENT_RAISED, CODE_LOAD_ERROR

ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([7], dtype=np.int64)]
APP = """
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(message, context):
    count = context.state.get("count", MetricRecord({"n": 0}))["n"] + 1
    context.state["count"] = MetricRecord({"n": count})
    told = message.content["config"]
    if told["do"] == "raise":
        raise ValueError("on purpose\\nin two lines")
    if told["do"] == "nothing":
        return None
    if told["do"] == "exit":
        raise SystemExit(3)
    node, rate = context.node_config["partition-id"], context.run_config["rate"]
    told = {"partition": node, "rate": rate, "node": context.node_id}
    content = {"arrays": message.content["arrays"], "count": MetricRecord({"n": count}), "told": ConfigRecord(told)}
    return Message(RecordDict(content), reply_to=message)
"""


@pytest.fixture
def content(bundle):
    return bundle("app_of_node:app", {"app_of_node.py": APP})


def job(do="train"):
    return RecordDict({"arrays": ArrayRecord(ARRAYS), "config": ConfigRecord({"do": do})})


def count_of(reply):
    return reply.content["count"]["n"]


def test_arrays_state_and_configurations_come_through(superlink, at_work, content):
    node = at_work()
    sent = superlink.send(job(), bundle=content)
    reply = superlink.reply()
    assert reply.metadata.reply_to_message_id == sent
    for got, given in zip(reply.content["arrays"].to_numpy_ndarrays(), ARRAYS, strict=True):
        assert got.dtype == given.dtype and (got == given).all()
    assert dict(reply.content["told"]) == {"partition": 1, "rate": 0.5, "node": 77}
    superlink.send(job(), bundle=content)
    assert (count_of(reply), count_of(superlink.reply())) == (1, 2)
    superlink.send(job(), run_id=2, bundle=content)
    assert count_of(superlink.reply()) == 1  # of another run
    assert (node.answered, node.errors) == (3, 0)


@pytest.mark.parametrize(
    ("do", "why"),
    [("raise", "ValueError: on purpose"), ("nothing", "returned NoneType"), ("exit", "called sys.exit(3)")],
)
def test_a_client_app_that_fails_is_told_in_one_line_and_its_state_is_as_before(superlink, at_work, content, do, why):
    at_work()
    superlink.send(job(), bundle=content)
    superlink.reply()
    superlink.send(job(do), bundle=content)
    error = superlink.reply().error
    assert error.code == CODE_CLIENT_RAISED
    assert why in error.reason and "\n" not in error.reason
    superlink.send(job(), bundle=content)
    assert count_of(superlink.reply()) == 2


def test_a_bundle_that_does_not_run_here_is_told_to_the_server(superlink, at_work, bundle):
    at_work()
    superlink.send(job(), bundle=bundle("app_of_node:app", {"app_of_node.py": "import of_nothing"}))
    error = superlink.reply().error
    assert error.code == CODE_LOAD_ERROR
    assert "does not run on this node" in error.reason


def test_a_message_of_a_run_that_has_ended_is_dropped(superlink, at_work, content):
    at_work()
    superlink.send(job(), run_id=3, bundle=content)
    del superlink.bundles[3]
    superlink.send(job(), bundle=content)
    assert count_of(superlink.reply()) == 1


def test_a_node_says_good_bye(superlink, at_work, content):
    at_work()
    superlink.send(job(), bundle=content)
    superlink.reply()
    at_work.stop.set()
    deadline = time.monotonic() + 10
    while superlink.calls[-1] != "unregister" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert superlink.calls == ["register", "activate", "deactivate", "unregister"]


def test_a_superlink_that_has_forgotten_the_node_gets_it_again(superlink, at_work, content):
    at_work()
    superlink.send(job(), bundle=content)
    superlink.reply()
    superlink.known = False
    superlink.send(job(), bundle=content)
    assert count_of(superlink.reply()) == 2  # the state is the node's, whatever the SuperLink remembers


@pytest.mark.slow
def test_a_superlink_that_was_away_is_found_again(superlink, at_work, content):
    at_work()
    superlink.send(job(), bundle=content)
    superlink.reply()
    superlink.__exit__()
    time.sleep(0.3)
    superlink.__enter__()
    superlink.send(job(), bundle=content)
    assert count_of(superlink.reply()) == 2


def test_a_superlink_that_never_answers_ends_the_node_with_one_line(superlink, apps):
    from eafl_flower.node.link import AwayError, Link
    from eafl_flower.node.serving import NodeAtWork

    superlink.__exit__()
    node = NodeAtWork({}, apps, stop=threading.Event())
    with pytest.raises(AwayError, match=r"no success with the SuperLink at .* after 1 tries"):
        node.serve(Link(superlink=superlink.address, insecure=True, max_retries=0))
    superlink.__enter__()


def test_other_versions_of_flower_are_refused_with_one_line(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.41.0")
    monkeypatch.delitem(sys.modules, "eafl_flower.node.fleet", raising=False)
    with pytest.raises(ImportError, match=r"flwr 1.41.0 is installed: pip install 'flwr==1.39.0', or start flower-s"):
        importlib.import_module("eafl_flower.node.fleet")
