"""What a model must be to be trained by merging updates, seen at its initial arrays."""

import re
from collections.abc import Iterable, Mapping
from logging import WARNING
from typing import Final

import numpy as np
from flwr.app import ArrayRecord

from eafl_flower.engines.flower_log import log
from eafl_flower.errors import ConfigError
from eafl_flower.wire.arrays import arrays_of

MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def models_of(initial_arrays: ArrayRecord | Mapping[str, ArrayRecord]) -> dict[str, ArrayRecord]:
    """Return the models to start from by name, "" for one without; checks each.

    Raises
    ------
    ConfigError
        If there are none, a name is none, or arrays cannot be merged.
    """
    if isinstance(initial_arrays, ArrayRecord):
        check_initial(initial_arrays)
        return {"": initial_arrays}
    if not initial_arrays:
        raise ConfigError("initial_arrays is empty: give at least one model")
    for name, record in initial_arrays.items():
        if not MODEL_NAME.fullmatch(name):
            msg = f"initial_arrays has a model {name!r}: expected up to 64 letters, digits and . _ -"
            raise ConfigError(msg)
        check_initial(record)
    return dict(initial_arrays)


def check_initial(record: ArrayRecord) -> None:
    """Check the arrays that a run is to start from, and tell of those that are not finite.

    Raises
    ------
    ConfigError
        If there are none, or some that cannot be merged.
    """
    if not record:
        msg = "initial_arrays is empty: give the arrays of the model to be trained"
        raise ConfigError(msg)
    named = list(zip(record, arrays_of(record), strict=True))
    if all(array.dtype == np.uint8 for _, array in named):
        msg = (
            "initial_arrays holds bytes (uint8) and nothing else, as a model of XGBoost does: updates of it cannot be "
            "merged; use Flower's FedXgbBagging or FedXgbCyclic"
        )
        raise ConfigError(msg)
    wrong = [f"{key} ({a.dtype.name})" for key, a in named if a.dtype.kind not in "iufb" or a.dtype.itemsize > 8]
    if wrong:
        msg = (
            f"initial_arrays holds {_some(wrong)}: expected float16, float32, float64, integers or booleans; "
            "keep other arrays on the clients"
        )
        raise ConfigError(msg)
    special = [f"{key} ({_num_special(a)} of {a.size})" for key, a in named if a.dtype.kind == "f" and _num_special(a)]
    if special:
        text = "initial_arrays holds elements that are NaN or infinite: %s; they stay as they are, and an update that "
        log(WARNING, text + "changes one is refused", _some(special))


def _num_special(array: np.ndarray) -> int:
    return array.size - int(np.isfinite(array).sum())


def _some(names: Iterable[str], most: int = 5) -> str:
    """Name the first few."""
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
