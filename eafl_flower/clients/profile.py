"""What a node's configuration says of its device: where it computes, and what it draws meanwhile."""

from collections.abc import Mapping
from typing import Final

from flwr.app import Context

from eafl_flower.core.excerpt import excerpt
from eafl_flower.errors import ConfigError
from eafl_flower.wire.records import MOST_POWER_W, POWERS

DEVICE: Final = "device"


def powers_of(context: Context) -> dict[str, float]:
    """Return the powers [W] that a node's configuration states, by the keys ``POWERS``; the others are the model's.

    Raises
    ------
    ConfigError
        If one is no number from 0 to ``MOST_POWER_W``.
    """
    stated: Mapping[str, object] = context.node_config
    found = {}
    for key in POWERS:
        value = stated.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_POWER_W:
            msg = f"{key} = {excerpt(value)} in the node's configuration: expected watts from 0 to {MOST_POWER_W:g}"
            raise ConfigError(msg)
        found[key] = float(value)
    return found


def device_of(context: Context) -> str:
    """Return the device that the configuration of a node names, "" if it leaves that to the run.

    Raises
    ------
    ConfigError
        If it is no text.
    """
    value = context.node_config.get(DEVICE, "")
    if not isinstance(value, str):
        raise ConfigError(f"{DEVICE} = {excerpt(value)} in the node's configuration: expected cpu, cuda or auto")
    return value
