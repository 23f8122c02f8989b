"""How a run stands, from its folder alone: whether it goes on, how far it is, and who is in trouble.

=========  ===========================================================================================
starting   a process works on it and has not told of its start yet (it waits for nodes, or reads data)
running    a process works on it
finishing  all merges are made; baselines and results are next
finished   it has written its results
stopped    somebody has stopped it
failed     an error has ended it, or it could not write its results
silent     no process works on it here, and none has said why it ended: killed, or on another machine
=========  ===========================================================================================
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from eafl_flower.errors import CheckpointError
from eafl_flower.results.following import Follower
from eafl_flower.results.ownership import is_owned, owner_of
from eafl_flower.results.run_directory import RunDirectory
from eafl_flower.results.summary import staleness_counted
from eafl_flower.results.watch import SIZES, TROUBLE, Client, Watch

GOING_ON: Final = ("starting", "running", "finishing")
QUIET_S: Final = 60.0  # without an event: then it is said for how long
SETTLING_S: Final = 10.0  # from a run's directory to its lock
LEFT_NOTHING: Final = "it failed before its first event and left nothing; `flwr log ID`, or its terminal, says why"


class RunWatcher:
    """Looks at a run now and again, and reads of its log only what is new.

    Parameters
    ----------
    run
        The directory; it must exist.
    updates_in
        Returns how many updates a checkpoint holds; raises ``CheckpointError`` if it cannot be used.
    """

    def __init__(self, run: RunDirectory, updates_in: Callable[[Path], int]) -> None:
        self.run, self._updates_in = run, updates_in
        self.watch = Watch()
        self._follower = Follower(run, self._begin_again)
        self._checkpoint: tuple[float, dict[str, Any]] | None = None  # time of the file, and what it says

    def status(self) -> dict[str, Any]:
        """Return what there is to know as plain values, the clients in trouble first, then those unseen for longest.

        Returns
        -------
        dict
            ``state`` and ``reason`` as above; ``silent_s``, seconds since the newest event; ``time_s`` on the run's
            ``clock``; ``in_flight``, in virtual time as many as may be; ``rate_merges_s`` in real time, over the newest
            100 merges; ``clients``, one object each: ``seen_ago_s`` is since its last answer, on the run's clock.

        Raises
        ------
        CheckpointError
            If the log is missing or damaged.
        """
        owned = is_owned(self.run.path)  # before the log is read: what ends a run is written before it lets go
        now_s = time.time()
        try:
            for event in self._follower.events():
                self.watch.add(event)
            quiet_s = max(0.0, now_s - self.run.events_path.stat().st_mtime)
            state, reason = self._state(owned, quiet_s)
        except (CheckpointError, FileNotFoundError):
            if self.run.path.exists():
                raise
            quiet_s, state, reason = 0.0, "failed", LEFT_NOTHING
        watch = self.watch
        goes_on = state in GOING_ON
        since_s = quiet_s if goes_on and watch.on_the_wall else 0.0
        status = watch.status
        return {
            "run": self.run.path.resolve().name,
            "path": str(self.run.path),
            "state": state,
            "reason": reason,
            "silent_s": quiet_s,
            "pid": owner_of(self.run.path) if goes_on else None,
            "clock": "wall" if watch.on_the_wall else "virtual",
            "time_s": watch.time_s,
            "events": watch.num_events,
            "merges": watch.merge,
            "merges_planned": watch.planned,
            "updates": watch.updates,
            "rate_merges_s": watch.rate(watch.wall_s + (quiet_s if goes_on else 0.0)) if goes_on else None,
            "in_flight": (status["in_flight"] if status else watch.most_in_flight) if goes_on else 0,
            "nodes": {"there": status["there"], "away": status["away"]} if status and goes_on else None,
            "staleness": staleness_counted(watch.staleness),
            **{kind: watch.ended[kind] for kind in (*TROUBLE, "late")},
            "energy_j": watch.energy_j,
            **{name: watch.sizes[name] for name in SIZES},
            "scores": dict(watch.scores),
            "scored_at": watch.scored_at,
            "checkpoint": self._newest_checkpoint(now_s),
            "clients": self._clients(watch.time_s + since_s, goes_on=goes_on),
        }

    def _begin_again(self) -> None:
        self.watch = Watch()

    def _state(self, owned: bool | None, quiet_s: float) -> tuple[str, str]:
        watch, end = self.watch, self.watch.end
        ended = end["event"] if end is not None else ""
        if owned or (owned is None and not ended and quiet_s < QUIET_S):
            if ended == "stop":
                return "finishing", ""
            return ("running", "") if watch.num_events and not ended else ("starting", "")
        if self.run.finished and (ended == "stop" or not watch.num_events):
            return "finished", str(end.get("reason", "")) if end is not None else ""
        if end is not None and ended != "stop":
            return {"failed": "failed", "interrupted": "stopped"}[ended], str(end["reason"])
        if not watch.num_events and quiet_s < SETTLING_S:
            return "starting", ""
        if ended:
            return "failed", "all merges were made, but its results were not written"
        return "silent", "no process works on it here, and none has said why it ended: was it killed?"

    def _newest_checkpoint(self, now_s: float) -> dict[str, Any] | None:
        path = self.run.checkpoint_path
        try:
            file = path.stat()
        except OSError:
            return None
        if self._checkpoint is None or self._checkpoint[0] != file.st_mtime:
            told: dict[str, Any] = {"bytes": file.st_size}
            try:
                told["updates"] = self._updates_in(path)
            except CheckpointError as error:
                told["problem"] = str(error)
            self._checkpoint = file.st_mtime, told
        return {"age_s": max(0.0, now_s - file.st_mtime), **self._checkpoint[1]}

    def _clients(self, now_s: float, *, goes_on: bool) -> list[dict[str, Any]]:
        watch = self.watch
        away = set((watch.status or {}).get("away_clients", ())) if goes_on else set()
        known = watch.clients | {number: Client() for number in away - watch.clients.keys()}

        def urgency(number: int) -> tuple[float, float, int]:
            trouble_s, seen_s = known[number].trouble_s, known[number].seen_s
            return -trouble_s if trouble_s is not None else 1.0, -1.0 if seen_s is None else seen_s, number

        return [
            {
                "client": number,
                "away": number in away,
                "merges": client.merges,
                "seen_ago_s": None if client.seen_s is None else max(0.0, now_s - client.seen_s),
                **{kind: client.ended[kind] for kind in TROUBLE},
                "trouble": client.trouble or None,
                "trouble_ago_s": None if client.trouble_s is None else max(0.0, now_s - client.trouble_s),
            }
            for number, client in ((number, known[number]) for number in sorted(known, key=urgency))
        ]
