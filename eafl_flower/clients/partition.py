"""Which part of the data a node holds."""

from flwr.app import Context

from eafl_flower.errors import ConfigError


def partition_of(context: Context) -> tuple[int, int]:
    """Return ``(partition id, number of partitions)`` from the node's configuration.

    Raises
    ------
    ConfigError
        If they are missing, not integers, or out of range.
    """
    config = context.node_config
    index, count = config.get("partition-id"), config.get("num-partitions")
    if type(index) is int and type(count) is int and 0 <= index < count:
        return index, count
    msg = (
        f"node {context.node_id} has partition-id = {index!r} and num-partitions = {count!r}: expected integers with "
        "0 <= partition-id < num-partitions; start the SuperNode with "
        '--node-config "partition-id=0 num-partitions=10"'
    )
    raise ConfigError(msg)
