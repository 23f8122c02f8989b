"""A node at work: it asks for messages and answers them with a ClientApp that stays in memory.

As on a SuperNode, one message is answered at a time, and a job whose ClientApp raises changes nothing of the state that
the node keeps for its client.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from logging import ERROR, INFO, WARNING
from typing import Any

from flwr.app import Context, Error, Message, RecordDict

from eafl_flower.engines.answer import answer
from eafl_flower.engines.flower_internals import CODE_LOAD_ERROR, copy_records
from eafl_flower.engines.flower_log import log
from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.node.bundles import Apps
from eafl_flower.node.fleet import Fleet, RunInfo, admitted
from eafl_flower.node.link import ForgottenError, GivenUpError, Link, Patience, RefusedError

REMEMBERED_RUNS = 8
GROWTH, MOST_GROWTH = 1.5, 10.0  # of the pause between two questions while there is nothing to do
SUMMARY_S = 60.0


class NodeAtWork:
    """Answers messages until ``stop`` is set.

    Parameters
    ----------
    node_config
        The node's configuration, which every ClientApp is told.
    apps
        Where ClientApps come from.
    poll_s
        Pause [s] between two questions for messages; while there are none it grows to ten times that.
    stop
        Set it to end the node.

    Attributes
    ----------
    answered, errors
        Replies so far, and how many of them are errors.

    Raises
    ------
    ConfigError
        If ``poll_s`` is not between 1 ms and a minute.
    """

    def __init__(
        self, node_config: Mapping[str, Any], apps: Apps, *, poll_s: float = 0.1, stop: threading.Event | None = None
    ) -> None:
        if not 0.001 <= poll_s <= 60:
            raise ConfigError(f"poll_s = {poll_s}: expected seconds between 0.001 and 60")
        self.answered = self.errors = 0
        self._node_config, self._apps, self._poll_s = dict(node_config), apps, poll_s
        self._stop = stop or threading.Event()
        self._runs: OrderedDict[int, RunInfo] = OrderedDict()
        self._states: OrderedDict[int, RecordDict] = OrderedDict()
        self._told, self._told_s = 0, time.monotonic()

    def serve(self, link: Link) -> None:
        """Register at a SuperLink and answer it; one that has forgotten the node is asked to take it again.

        Raises
        ------
        RefusedError
            If the SuperLink does not let the node in at first.
        AwayError
            If it does not answer, or let the node in again, for as long as the link waits.
        """
        again: Patience | None = None  # from when it was let in before
        while not self._stop.is_set():
            try:
                with admitted(link, self._stop) as fleet:
                    log(INFO, "node %d answers the SuperLink at %s", fleet.node_id, link.superlink)
                    self._answer_all(fleet)
            except ForgottenError as error:
                log(WARNING, "the SuperLink does not know this node any more (%s): it registers again", error)
                again = Patience(link, self._stop)
            except RefusedError as error:
                if again is None:
                    raise
                again.wait(str(error.__cause__ or error))
            except GivenUpError:
                if not self._stop.is_set():
                    raise

    def _answer_all(self, fleet: Fleet) -> None:
        pause_s = self._poll_s
        while not self._stop.is_set():
            pause_s = min(GROWTH * pause_s, MOST_GROWTH * self._poll_s)
            try:
                if (message := fleet.receive()) is not None:
                    pause_s = self._poll_s
                    self._answer(fleet, message)
            except GivenUpError as error:
                log(WARNING, "a message is dropped: %s", error)
            self._tell()
            self._stop.wait(pause_s)

    def _answer(self, fleet: Fleet, message: Message) -> None:
        began_s = time.monotonic()
        try:
            run = self._run(fleet, message.metadata.run_id)
            app = self._apps.app_of(run.app, run.bundle, run.sha256)
        except ProtocolError as error:
            reply = Message(Error(CODE_LOAD_ERROR, str(error)), reply_to=message)
        else:
            state = self._states.get(run.series, RecordDict())
            context = Context(
                run_id=run.run_id,
                node_id=fleet.node_id,
                node_config=dict(self._node_config),
                state=copy_records(state),
                run_config=dict(run.config),
                series_id=run.series,
            )
            reply, succeeded = answer(app, message, context)
            if succeeded:
                self._keep(run.series, context.state)
        if reply.has_error():
            reply = _in_one_line(reply, message)
            self.errors += 1
        self.answered += 1
        fleet.answer(reply, time.monotonic() - began_s)

    def _run(self, fleet: Fleet, run_id: int) -> RunInfo:
        if run_id not in self._runs:
            self._runs[run_id] = fleet.run_info(run_id)
            log(INFO, "run %d: the ClientApp of %s stays in memory", run_id, self._runs[run_id].app)
            while len(self._runs) > REMEMBERED_RUNS:
                self._runs.popitem(last=False)
        self._runs.move_to_end(run_id)
        return self._runs[run_id]

    def _keep(self, series: int, state: RecordDict) -> None:
        self._states[series] = state
        self._states.move_to_end(series)
        while len(self._states) > REMEMBERED_RUNS:
            self._states.popitem(last=False)
            log(WARNING, "the client's state of a run is forgotten, after %d others", REMEMBERED_RUNS)

    def _tell(self) -> None:
        if time.monotonic() - self._told_s > SUMMARY_S:
            if self.answered > self._told:
                log(INFO, "%d messages answered so far, %d of them by an error", self.answered, self.errors)
            self._told, self._told_s = self.answered, time.monotonic()


def _in_one_line(reply: Message, message: Message) -> Message:
    """Return an error as SuperNodes send it, in one line; all of it stands in the node's log."""
    lines = (reply.error.reason or "").splitlines() or [""]
    log(ERROR, "run %d, %s message: %s", message.metadata.run_id, message.metadata.message_type, lines[0])
    for line in lines[1:]:
        log(ERROR, "%s", line)
    return Message(Error(reply.error.code, lines[0]), reply_to=message)
