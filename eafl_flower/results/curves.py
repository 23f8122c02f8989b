"""What a run measured on its way, as columns to be plotted."""

import math
from typing import TYPE_CHECKING, Any, Final

from eafl_flower.results.run_directory import RunDirectory

if TYPE_CHECKING:
    import pandas as pd

_SPENT: Final = ("energy_j", "uplink_bytes", "downlink_bytes")


def curves(run: RunDirectory) -> "pd.DataFrame":
    """Return a row for each evaluation of a run, in order, also of one that goes on.

    Columns
    -------
    merge
        Merges so far.
    time_s
        Virtual time, in a deployment that of the wall [s].
    energy_j
        Energy of all clients up to here, lost and refused jobs included [J].
    uplink_bytes, downlink_bytes
        Payloads of all clients up to here, without framing.
    accuracy-before, ...
        A column for each metric; NaN where an evaluation lacks it.

    Raises
    ------
    CheckpointError
        If the event log is damaged.

    Examples
    --------
    ``curves(RunDirectory.open("runs/emam-...")).plot("time_s", "accuracy-before")``
    """
    import pandas as pd

    spent: dict[str, Any] = dict.fromkeys(_SPENT, 0)
    rows = []
    for event in run.each_event():
        if event["event"] == "evaluate":
            scores = {name: math.nan if value is None else value for name, value in event["metrics"].items()}
            rows.append({"merge": event["merge"], "time_s": event["time_s"], **spent, **scores})
        else:
            spent = {name: value + event.get(name, 0) for name, value in spent.items()}
    return pd.DataFrame(rows, columns=None if rows else ["merge", "time_s", *_SPENT])
