import os
import signal
import threading

import pytest

from eafl_flower.core.stopping import Stopped, stops_raised
from eafl_flower.engines.answer import call
from eafl_flower.runs.keeping.signals import interrupts

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Run:
    interrupted = False
    reason = None


@pytest.mark.parametrize("number", ALL)
def test_the_first_signal_is_a_request_and_ctrl_c_after_it_stops(number):
    run, before = Run(), [signal.getsignal(each) for each in ALL]
    with interrupts(run):
        assert not run.interrupted
        os.kill(os.getpid(), number)
        assert run.interrupted
        os.kill(os.getpid(), signal.SIGTERM)  # as from `timeout`, which sends it twice
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(each) for each in ALL] == before
    assert isinstance(run.reason, KeyboardInterrupt)
    assert getattr(run.reason, "code", 130) == 128 + number


def test_outside_the_main_thread_nothing_changes():
    before, seen = [signal.getsignal(each) for each in ALL], []

    def work():
        with interrupts(Run()), stops_raised():
            seen.extend(signal.getsignal(each) for each in ALL)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before


def test_a_signal_that_is_ignored_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = Run()
        with stops_raised(), interrupts(run):
            os.kill(os.getpid(), signal.SIGHUP)
        assert not run.interrupted
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_flower_does_at_a_signal_it_does_after_the_checkpoint():
    did, run = [], Run()

    def goodbye(number, frame):
        did.append(number)
        raise SystemExit(0)

    goodbye.__module__ = "flwr.supercore.exit.signal_handler"
    before = signal.signal(signal.SIGTERM, goodbye)
    try:
        with pytest.raises(SystemExit) as ended, interrupts(run):
            os.kill(os.getpid(), signal.SIGHUP)
            assert did == []
            raise run.reason
        assert did == [signal.SIGTERM]
        assert ended.value.code == 0
    finally:
        signal.signal(signal.SIGTERM, before)


def test_outside_a_run_a_signal_is_raised_once():
    with pytest.raises(Stopped, match="stopped by SIGTERM"), stops_raised():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)


def test_it_is_the_users_not_the_clients():
    def app(message, context):
        raise Stopped(signal.SIGTERM)

    class Message:
        class metadata:
            message_id = "1"

    with pytest.raises(Stopped):
        call(app, Message, None)
