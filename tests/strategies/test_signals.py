import os
import signal
import threading

import pytest

from eafl_flower.strategies.signals import interrupts


class Run:
    interrupted = False


def test_the_first_ctrl_c_is_a_request_and_the_second_stops():
    run, before = Run(), signal.getsignal(signal.SIGINT)
    with interrupts(run):
        assert not run.interrupted
        os.kill(os.getpid(), signal.SIGINT)
        assert run.interrupted
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_nothing_changes():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with interrupts(Run()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
