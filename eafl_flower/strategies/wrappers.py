"""What stands around or inside ``Compressed``: Flower's wrappers for differential privacy need the right place."""

import sys
from logging import WARNING

from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    Strategy,
)

from eafl_flower.engines.flower_log import log
from eafl_flower.errors import ConfigError

CLIENT_SIDE = (DifferentialPrivacyClientSideAdaptiveClipping, DifferentialPrivacyClientSideFixedClipping)
SERVER_SIDE = (DifferentialPrivacyServerSideAdaptiveClipping, DifferentialPrivacyServerSideFixedClipping)


def check_wrapped(strategy: object) -> None:
    """Check that ``Compressed`` can stand around ``strategy``.

    Raises
    ------
    TypeError
        If it is no strategy of Flower's Message API, or has a ``start()`` of its own.
    """
    kind = type(strategy)
    if isinstance(strategy, Strategy):
        if type(strategy).start is not Strategy.start:
            msg = f"{kind.__name__} has a start() of its own, Compressed cannot stand around it"
            raise TypeError(f"{msg}: use its codec= argument, if it has one")
        return
    if any(base.__module__.startswith("flwr.server.strategy") for base in kind.__mro__):
        msg = f"Compressed wraps a strategy of the Message API, {kind.__module__}.{kind.__name__} is of the legacy one"
        raise TypeError(f"{msg}: import it from flwr.serverapp.strategy, and call start() in @app.main()")
    raise TypeError(f"Compressed wraps a strategy, not {kind.__name__}: write Compressed(FedAvg(), codec)")


def refuse_privacy_around() -> None:
    """Refuse to go on if one of Flower's wrappers for differential privacy has called the caller, directly or not.

    Such a wrapper looks for arrays in the replies. Around a strategy that codes them there are none, and it would clip
    nothing without a word. A strategy does not know who wraps it, but each round the wrapper is among its callers.

    Raises
    ------
    ConfigError
        If there is one.
    """
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, CLIENT_SIDE + SERVER_SIDE):
            name = type(caller).__name__
            mods = ", and its mod after compression_mod in the ClientApp" if isinstance(caller, CLIENT_SIDE) else ""
            msg = f"{name} stands around Compressed: its clipping would see payloads instead of arrays and do nothing"
            raise ConfigError(f"{msg}; write Compressed({name}(strategy, ...), codec){mods}")
        if frame.f_code is Strategy.start.__code__:
            return
        frame = frame.f_back  # type: ignore[assignment]


def warn_of_clipping_before_the_codec(strategy: Strategy) -> None:
    """Say that what a client clips is coded after that, if ``strategy`` leaves clipping to the clients."""
    inner: object = strategy
    while isinstance(inner, Strategy):
        if isinstance(inner, CLIENT_SIDE):
            text = "%s: clients clip before they code, and what is decoded may be larger by what the codec makes up "
            log(WARNING, text + "for; where the bound must hold exactly, clip on the server", type(inner).__name__)
            return
        inner = getattr(inner, "strategy", None)
