import re
import runpy
from importlib.metadata import version

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.supercore import run, task_identity
from tiny_clients import counting_app, train_message

from eafl_flower.engines import InlineGrid, flower_internals
from eafl_flower.engines.flower_internals import copy_message, is_in_memory


@pytest.mark.parametrize(
    ("owner", "name"), [(task_identity, "TaskIdentity"), (run, "Run"), (run.Run, "create_empty"), (RecordDict, "copy")]
)
def test_a_flower_without_a_name_we_need_is_refused_with_its_version(monkeypatch, owner, name):
    for holder in getattr(owner, "__mro__", (owner,)):
        if name in vars(holder):
            monkeypatch.delattr(holder, name)
    with pytest.raises(ImportError, match=re.escape(f"flwr {version('flwr')} has no ") + rf".*{name}.*pip install"):
        runpy.run_path(flower_internals.__file__)


def test_a_copied_message_equals_the_original():
    InlineGrid(counting_app(), 1)  # gives the process the identity that messages need
    message = train_message(2, lists=[1, 2], data=b"bytes")
    message.content["metrics"] = MetricRecord({"a": [1.0, 2.0], "b": 3})
    copy = copy_message(message)
    assert copy.content == message.content
    assert copy.metadata == message.metadata
    assert [type(record) for record in copy.content.values()] == [ArrayRecord, ConfigRecord, MetricRecord]


def test_a_copied_message_is_accepted_by_flower_like_any_other():
    InlineGrid(counting_app(), 1)
    copy = copy_message(train_message(2))
    copy.content["more"] = ArrayRecord([np.zeros(2)])
    assert copy.content.object_id != train_message(2).content.object_id
    with pytest.raises(TypeError):
        copy.content["config"]["bad"] = None
    assert Message(RecordDict(), reply_to=copy).metadata.dst_node_id == 1


def test_flowers_in_memory_grid_is_told_from_others():
    from flwr.superlink.grid import InMemoryGrid

    assert is_in_memory(InMemoryGrid.__new__(InMemoryGrid))
    assert not is_in_memory(InlineGrid(counting_app(), 1))
