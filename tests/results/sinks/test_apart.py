"""A sink that hangs, fails or lags never holds a run up, and is said to be left out once."""

import threading

import numpy as np
import pytest
from recorded_logs import START, merge

from eafl_flower.results.sinks.apart import Apart


class Sink:
    """Keeps events; may wait or raise at each."""

    def __init__(self, at_each=lambda event: None, at_close=lambda: None):
        self.events, self.closed, self._at_each, self._at_close = [], threading.Event(), at_each, at_close

    def write(self, event):
        self._at_each(event)
        self.events.append(event)

    def close(self):
        self.closed.set()
        self._at_close()


def broken(*arguments):
    raise OSError("no route to host")


def leave(*arguments):
    raise SystemExit(3)


def test_a_sink_gets_every_event_in_order_as_the_log_has_it():
    sink, said = Sink(), []
    apart = Apart("sink", lambda: sink, said.append)
    events = [START, *(merge(n, weight=np.float32(0.5), metrics={"loss": float("nan")}) for n in range(1, 200))]
    for event in events:
        apart.write(event)
    apart.close()
    assert sink.closed.is_set()
    assert [event.get("merge") for event in sink.events] == [event.get("merge") for event in events]
    assert (sink.events[1]["weight"], sink.events[1]["metrics"]) == (0.5, {"loss": None})
    assert said == []


def test_without_an_event_no_sink_is_made():
    made = []
    Apart("sink", lambda: made.append(1) or Sink(), made.append).close()
    assert made == []


@pytest.mark.parametrize("error", [broken, leave])
@pytest.mark.parametrize("where", ["made", "written to", "closed"])
def test_an_error_is_said_once_and_the_run_goes_on(error, where):
    said = []
    sink = Sink(error if where == "written to" else lambda event: None, error if where == "closed" else lambda: None)
    apart = Apart("mlflow", error if where == "made" else lambda: sink, said.append)
    for number in range(1, 50):
        apart.write(merge(number))
    apart.close()
    apart.write(merge(50))
    reason = "no route to host" if error is broken else "3"
    assert said == [f"mlflow is left out from here on, the run goes on: {reason}"]


def test_a_sink_that_hangs_is_left_out_once_it_is_too_far_behind():
    said, hangs, goes_on = [], threading.Event(), threading.Event()

    def hang(event):
        hangs.set()
        goes_on.wait()

    apart = Apart("wandb", lambda: Sink(hang), said.append, most_waiting=5, farewell_s=0.05)
    apart.write(START)
    assert hangs.wait(20)
    for number in range(1, 100):  # none of them waits
        apart.write(merge(number))
    apart.close()
    goes_on.set()
    assert said == ["wandb is left out from here on, the run goes on: it is 5 events behind"]


def test_the_end_of_a_run_waits_for_a_sink_only_so_long():
    said, goes_on = [], threading.Event()
    apart = Apart("wandb", lambda: Sink(lambda event: goes_on.wait()), said.append, farewell_s=0.05)
    apart.write(START)
    apart.close()
    goes_on.set()
    assert len(said) == 1
    assert "it has not taken the last events within 0.05 s" in said[0]


def test_a_line_that_cannot_be_said_ends_nothing():
    apart = Apart("sink", broken, broken)
    apart.write(START)
    apart.close()
