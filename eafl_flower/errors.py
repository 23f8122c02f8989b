"""Errors of eafl-flower.

EAFLError
├── ConfigError        (ValueError)    a setting is wrong; the message lists every mistake found
├── DataError          (ValueError)    a data file or table is missing, truncated or not what was expected
├── InfeasibleError    (ValueError)    no allocation of power meets what is asked of it
├── CodecError         (ValueError)    a payload cannot be decoded
├── UpdateRefusedError (ValueError)    an update is not finite or does not fit the model
├── ProtocolError      (RuntimeError)  the other side of the wire broke the protocol
├── ConsumedStateError (RuntimeError)  a state is used again after the operation that consumed it
├── ClientFailedError  (RuntimeError)  a client's own code failed: out of memory, or it tried to exit
├── CheckpointError    (RuntimeError)  a checkpoint is missing, damaged or belongs to another run
└── RunFailedError     (RuntimeError)  the run ended because it could not go on
"""


class EAFLError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(EAFLError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


class DataError(EAFLError, ValueError):
    """A data file or table is missing, truncated or not what was expected."""


class InfeasibleError(EAFLError, ValueError):
    """No allocation of power meets what is asked of it; the message says what is possible."""


class CodecError(EAFLError, ValueError):
    """A payload is truncated, altered, or made for another layout."""


class UpdateRefusedError(EAFLError, ValueError):
    """An update has the wrong shapes or values that are not finite."""


class ProtocolError(EAFLError, RuntimeError):
    """A message of the other side does not follow the protocol."""


class ConsumedStateError(EAFLError, RuntimeError):
    """A state is used again after the operation that consumed it."""


class ClientFailedError(EAFLError, RuntimeError):
    """A client's own code failed in a way that must not take its node or the run with it."""


class CheckpointError(EAFLError, RuntimeError):
    """A checkpoint is missing, damaged or belongs to another run."""


class RunFailedError(EAFLError, RuntimeError):
    """A run cannot go on: no clients left, error budget spent, or an engine died."""
