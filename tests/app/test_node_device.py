"""A node computes on the device that its own configuration names."""

import pytest
from flwr.app import Context, RecordDict

from eafl_flower.app.client import experiment_of
from eafl_flower.app.workload import task_agreed
from eafl_flower.config import RunConfig
from eafl_flower.errors import ConfigError
from eafl_flower.wire.agreement import disagreement


def node(device=None):
    stated = {} if device is None else {"device": device}
    run = RunConfig.from_flat({"task.device": "auto"}).to_flat()
    return Context(1, 2, {"partition-id": 0, "num-partitions": 2, **stated}, RecordDict(), run)


def test_a_node_has_its_own_device_or_else_that_of_the_run():
    assert experiment_of(node()).config.task.device == "auto"
    assert experiment_of(node("cpu")).config.task.device == "cpu"


def test_nodes_with_other_devices_agree_with_the_run_on_all_else():
    run = task_agreed(experiment_of(node()))
    assert run and not disagreement(run, task_agreed(experiment_of(node("cpu"))))


@pytest.mark.parametrize(("device", "message"), [("gpu", "task.device"), (7, "device = 7 in the node's configuration")])
def test_a_device_that_there_is_not_is_one_clear_error(device, message):
    with pytest.raises(ConfigError, match=message):
        experiment_of(node(device))
