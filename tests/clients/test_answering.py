"""What a ClientApp may do in place of an answer; on a stock SuperNode most of it would hold the node up for ever."""

import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from eafl_flower.app.client import client_app
from eafl_flower.clients import answering_mod, compression_mod, durable_state_mod
from eafl_flower.clients.numpy_client import FederatedClient
from eafl_flower.clients.time_limit import time_limit
from eafl_flower.codecs import Int8Codec
from eafl_flower.errors import ClientFailedError, ProtocolError

TERMS = {"run": "run-1", "seed": 3, "client": 4, "counter": 1, "load": 0, "acknowledged": 0, "durable": 0}


def app_of(train, *mods):
    app = ClientApp(mods=list(mods))
    app.train()(train)
    return app


def to_another(message, context):
    other = Message(RecordDict({"config": ConfigRecord()}), 2, "train")
    other.metadata.__dict__["_message_id"] = "7"
    return Message(RecordDict(), reply_to=other)


def exits(message, context):
    raise SystemExit(3)


@pytest.mark.parametrize("terms", [None, TERMS], ids=["a foreign server", "ours"])
@pytest.mark.parametrize(
    "mod", [answering_mod, durable_state_mod, lambda: compression_mod(Int8Codec())], ids=["answering", "state", "codec"]
)
@pytest.mark.parametrize(
    ("train", "words"),
    [
        (lambda message, context: None, "returned NoneType; expected Message"),
        (lambda message, context: "done", "returned str; expected Message"),
        (to_another, "answered message '7', not '1'"),
        (exits, r"called sys.exit\(3\)"),
    ],
    ids=["none", "text", "another", "exit"],
)
def test_whatever_is_not_a_reply_is_an_error_of_this_client(make_message, make_context, mod, train, words, terms):
    app = app_of(train, mod())
    with pytest.raises(ProtocolError, match=words):
        app(make_message("train", ArrayRecord(), terms=terms), make_context())


def test_a_reply_in_time_passes_and_leaves_no_alarm_behind(make_message, make_context):
    before = signal.getsignal(signal.SIGALRM)
    app = app_of(lambda message, context: Message(RecordDict(), reply_to=message), answering_mod(60.0))
    assert app(make_message("train"), make_context()).has_content()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before


def busy(message, context):
    while True:
        pass


@pytest.mark.parametrize("train", [lambda message, context: time.sleep(60), busy], ids=["waits", "computes"])
def test_a_client_that_hangs_is_given_up(make_message, make_context, train):
    app = app_of(train, answering_mod(lambda context: 0.05))
    with pytest.raises(ClientFailedError, match=r"no answer to a message of type train after 0.05 s"):
        app(make_message("train"), make_context())


def test_outside_the_main_thread_nothing_is_interrupted():
    done = []

    def work():
        with time_limit(0.01, ClientFailedError("late")):
            time.sleep(0.05)
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


def test_a_process_that_cannot_be_interrupted_ends_and_says_where_it_hangs():
    code = """
        import signal
        from eafl_flower.clients import time_limit
        time_limit.GRACE_S = 0.05
        def stuck():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as in a library: no Python is run
            while True: pass
        with time_limit.time_limit(0.05, ValueError("late")):
            stuck()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "in stuck" in done.stderr


def test_the_app_that_flower_loads_gives_up_when_its_run_does(make_message, make_context, monkeypatch):
    monkeypatch.setattr(FederatedClient, "trains", property(lambda self: time.sleep(60)))
    context = make_context()
    context.run_config = {"job.reply-timeout-s": 2.0, "data.clients": 6, "data.unseen": 0}
    with pytest.raises(ClientFailedError, match="after 2 s"):
        client_app()(make_message("query"), context)
