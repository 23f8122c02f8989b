"""An order as it travels: only what differs from the usual, so that a usual one adds no byte to a message."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from eafl_flower.core.excerpt import excerpt
from eafl_flower.core.orders import NO_ORDER, Enough, Order
from eafl_flower.errors import ConfigError, ProtocolError

_PLAIN: Final = {"model": str, "rank": int, "epochs": int}
_STOP: Final = {"stop-share": float, "least-epochs": int, "most-epochs": int}


def order_fields(order: Order) -> dict[str, str | int | float]:
    """Return ``order`` as fields of a record; a rule to stop by is three of them."""
    if order is NO_ORDER:
        return {}
    fields: dict[str, str | int | float] = {
        name: value for name in _PLAIN if (value := getattr(order, name)) != getattr(NO_ORDER, name)
    }
    if (stop := order.stop) is not None:
        fields |= dict(zip(_STOP, (float(stop.share), stop.least, stop.most), strict=True))
    return fields


@lru_cache
def _names(prefix: str) -> frozenset[str]:
    return frozenset(prefix + name for name in (*_PLAIN, *_STOP))


def order_of(fields: Mapping[str, Any], prefix: str = "") -> Order:
    """Return the order among ``fields``, whose names have this prefix there.

    Raises
    ------
    ProtocolError
        If a field is of another type, a rule to stop by is incomplete, or the values do not go together.
    """
    if _names(prefix).isdisjoint(fields):
        return NO_ORDER
    found = {name: fields[prefix + name] for name in (*_PLAIN, *_STOP) if prefix + name in fields}
    kinds = _PLAIN | _STOP
    if wrong := [name for name, value in found.items() if type(value) is not kinds[name]]:
        name = wrong[0]
        msg = f"an order has {name} = {excerpt(found[name])}: expected {kinds[name].__name__}"
        raise ProtocolError(msg)
    given = [found.pop(name) for name in _STOP if name in found]
    if len(given) not in (0, len(_STOP)):
        msg = f"an order has only {len(given)} of {', '.join(_STOP)}: expected all of them, or none"
        raise ProtocolError(msg)
    try:
        stop = Enough(share=given[0], least=given[1], most=given[2]) if given else None
        return Order(**found, stop=stop)
    except ConfigError as error:
        raise ProtocolError(f"an order cannot be followed: {error}") from error
