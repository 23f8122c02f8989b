import pytest

from eafl_flower.clients.partition import partition_of
from eafl_flower.errors import ConfigError


def test_a_node_knows_its_part(make_context):
    assert partition_of(make_context(2, 6)) == (2, 6)


@pytest.mark.parametrize(("index", "count"), [(6, 6), (-1, 6), ("2", 6), (True, 6), (0.0, 6), (2, "6")])
def test_a_part_that_cannot_be_is_refused(make_context, index, count):
    context = make_context()
    context.node_config = {"partition-id": index, "num-partitions": count}
    with pytest.raises(ConfigError, match=f"partition-id = {index!r} and num-partitions = {count!r}"):
        partition_of(context)


def test_a_missing_part_says_how_to_give_it(make_context):
    context = make_context()
    context.node_config = {}
    with pytest.raises(ConfigError, match="start the SuperNode with --node-config"):
        partition_of(context)
