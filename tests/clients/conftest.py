import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from eafl_flower.engines.flower_internals import become_server, set_message_id


@pytest.fixture
def make_context():
    def make(partition=0, num_partitions=6, **node_config):
        return Context(
            run_id=1,
            node_id=partition + 2,
            node_config={"partition-id": partition, "num-partitions": num_partitions, **node_config},
            state=RecordDict(),
            run_config={},
        )

    return make


@pytest.fixture
def make_message():
    become_server()

    def make(kind, arrays=None, config=None, terms=None):
        content = RecordDict()
        if arrays is not None:
            content["arrays"] = arrays
        content["config"] = ConfigRecord(config or {})
        if terms is not None:
            content["eafl"] = ConfigRecord(terms)
        message = Message(content, 2, kind)
        set_message_id(message, "1")
        return message

    return make
