"""A run that was interrupted by Ctrl-C leaves a checkpoint, and resumed equals one that never stopped."""

import os
import signal

import pytest
from toy_federation import Recorder, run_toy, toy_app
from troubled_runs import CODEC, DIFFERENCES, Killed, everything, go, sometimes_broken

from eafl_flower.engines.inline import InlineGrid


@pytest.mark.parametrize("place", ["training", "evaluation", "pushing"])
def test_ctrl_c_anywhere_leaves_a_checkpoint_from_which_the_run_goes_on(tmp_path, place):
    """The interrupt comes out of the grid, as from a client in this thread or from an engine in another."""
    undisturbed = Recorder()
    expected = go(tmp_path / "undisturbed", 60, undisturbed)
    app = toy_app(codec=CODEC, train=sometimes_broken, state_dir=tmp_path / "state")
    calls = []

    def interrupting(message, context):
        calls.append(message.metadata.message_type)
        if place == "training" and len(calls) == 60:
            raise KeyboardInterrupt
        if place == "evaluation" and calls.count("evaluate") == 15:
            raise KeyboardInterrupt
        return app(message, context)

    grid = InlineGrid(interrupting, 6)
    if place == "pushing":
        push, pushed = grid.push_messages, []

        def push_messages(messages):
            pushed.append(1)
            if len(pushed) == 70:
                raise KeyboardInterrupt
            return push(messages)

        grid.push_messages = push_messages
    recorder = Recorder()
    options = everything(tmp_path, checkpoint_every=0)
    with pytest.raises(KeyboardInterrupt):
        run_toy(merges=60, grid=grid, recorder=recorder, **options)
    assert recorder.events[-1]["event"] != "stop"
    run, _ = run_toy(merges=60, grid=InlineGrid(app, 6), recorder=recorder, resume=True, **options)
    assert run.arrays_sha256() == expected.arrays_sha256()
    assert recorder.told() == [e for e in undisturbed.told() if e["event"] != "checkpoint"]


def interrupted(tmp_path, **options):
    """Stop a run without scheduled checkpoints as Ctrl-C does, at its 25th message."""
    grid = InlineGrid(toy_app(codec=options["codec"], state_dir=tmp_path / "state"), 4)
    push, pushed = grid.push_messages, []

    def push_messages(messages):
        pushed.append(1)
        if len(pushed) == 25:
            raise KeyboardInterrupt
        return push(messages)

    grid.push_messages = push_messages
    with pytest.raises(KeyboardInterrupt):
        run_toy(4, 40, grid=grid, checkpoint=tmp_path / "server.safetensors", **options)


@pytest.mark.parametrize("codec", [CODEC, DIFFERENCES], ids=str)
def test_the_checkpoint_of_ctrl_c_stands_for_any_number_of_resumes(tmp_path, codec):
    """Two of them are killed before they get anywhere, without a checkpoint of their own."""
    expected, _ = run_toy(4, 40, app=toy_app(codec=codec), codec=codec)
    recorder = Recorder()
    interrupted(tmp_path, recorder=recorder, codec=codec)
    app = toy_app(codec=codec, state_dir=tmp_path / "state")
    options = {"codec": codec, "checkpoint": tmp_path / "server.safetensors", "resume": True, "recorder": recorder}
    for place in (38, 36):
        recorder.stop_at, recorder.error = place, Killed
        with pytest.raises(Killed):
            run_toy(4, 40, app=app, **options)
    run, _ = run_toy(4, 40, app=app, **options)
    assert run.arrays_sha256() == expected.arrays_sha256()
    assert (run.tally.states_lost, run.tally.refused) == (0, 0)


def test_states_do_not_pile_up_where_nobody_will_need_them_again(tmp_path):
    """A client keeps what its last job started from and made and, in a resumed run, what the checkpoint names."""

    def states():
        folders = (tmp_path / "state").rglob("client-*")
        return max(len([*folder.iterdir()]) for folder in folders)

    interrupted(tmp_path, codec=CODEC)
    assert states() == 2
    app = toy_app(codec=CODEC, state_dir=tmp_path / "state")
    recorder = Recorder(stop_at=150, error=Killed)
    options = {"codec": CODEC, "checkpoint": tmp_path / "server.safetensors", "resume": True}
    with pytest.raises(Killed):
        run_toy(4, 200, app=app, recorder=recorder, **options)
    assert states() == 3


class PressingCtrlC(Recorder):
    """Sends SIGINT while it is told the event number ``place``."""

    def __init__(self, place):
        super().__init__()
        self.place = place

    def write(self, event):
        if len(self.events) == self.place:
            self.place = None
            os.kill(os.getpid(), signal.SIGINT)
        super().write(event)


@pytest.mark.parametrize("place", [0, 1, 2, 30])
def test_from_the_first_event_on_a_ctrl_c_leaves_a_checkpoint(tmp_path, place):
    undisturbed = Recorder()
    expected = go(tmp_path / "undisturbed", 40, undisturbed, checkpoint_every=0)
    recorder = PressingCtrlC(place)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, 40, recorder, checkpoint_every=0)
    run = go(tmp_path, 40, recorder, checkpoint_every=0, resume=True)
    assert run.arrays_sha256() == expected.arrays_sha256()
    assert recorder.told() == undisturbed.told()


def test_a_run_without_a_file_for_checkpoints_ends_at_ctrl_c(tmp_path):
    def interrupting(client, counter, arrays):
        if counter == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_toy(3, 30, app=toy_app(train=interrupting))
