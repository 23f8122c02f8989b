import pytest

from eafl_flower.core.events import Fanout


class Recorder:
    def __init__(self, failure=None):
        self.events, self.closed, self.failure = [], False, failure

    def write(self, event):
        self.events.append(event)

    def close(self):
        self.closed = True
        if self.failure:
            raise self.failure


def test_every_observer_sees_every_event():
    recorders = [Recorder(), Recorder()]
    fanout = Fanout(recorders)
    fanout.write({"event": "start"})
    fanout.close()
    assert all(recorder.events == [{"event": "start"}] and recorder.closed for recorder in recorders)


def test_all_are_closed_even_if_one_fails():
    recorders = [Recorder(), Recorder(OSError("disk full"))]
    with pytest.raises(OSError, match="disk full"):
        Fanout(recorders).close()
    assert recorders[0].closed
