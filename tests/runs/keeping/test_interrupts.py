"""A run that was interrupted by Ctrl-C leaves a checkpoint, and resumed equals one that never stopped."""

import os
import signal

import pytest
from toy_federation import Recorder, run_toy, toy_app
from troubled_runs import CODEC, DIFFERENCES, Killed, everything, go, sometimes_broken

from eafl_flower.engines.inline import InlineGrid
from eafl_flower.runs.keeping.autosave import Autosave
from eafl_flower.simulation.churn import OnOff
from eafl_flower.strategies import EMAM


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


def in_rounds(recorder, folder, *, push=None, period_s, **options):
    """Rounds of clients that come and go, whose messages ``push`` may see before they are sent."""
    grid = InlineGrid(toy_app(state_dir=folder / "state"), 4)
    if push is not None:
        sends = grid.push_messages
        grid.push_messages = lambda messages: push(messages) or sends(messages)
    churn = OnOff(seed=2, mean_on_s=8.0, mean_off_s=5.0)
    options = {"strategy": EMAM, "seed": 5, "churn": churn, "round_period_s": period_s, "evaluate_every": 0, **options}
    return run_toy(4, 4, grid=grid, recorder=recorder, checkpoint=folder / "server.safetensors", **options)[0]


@pytest.mark.parametrize("period_s", [0.0, 2.0])
def test_a_round_that_is_interrupted_while_its_jobs_are_sent_goes_on_with_all_of_them(tmp_path, period_s):
    whole = Recorder()
    expected = in_rounds(whole, tmp_path / "whole", period_s=period_s)
    for place in range(1, 1 + expected.tally.updates):
        pushed = []

        def interrupt(messages, pushed=pushed, place=place):
            pushed.extend(m for m in messages if m.metadata.message_type == "train")
            if len(pushed) == place:
                raise KeyboardInterrupt

        recorder, folder = Recorder(), tmp_path / str(place)
        with pytest.raises(KeyboardInterrupt):
            in_rounds(recorder, folder, push=interrupt, period_s=period_s)
        run = in_rounds(recorder, folder, period_s=period_s, resume=True)
        assert recorder.told() == whole.told() and run.arrays_sha256() == expected.arrays_sha256()


def test_no_round_is_missed_wherever_between_two_events_the_checkpoint_was_written(tmp_path, monkeypatch):
    whole, looks = Recorder(), []
    with monkeypatch.context() as patch:
        patch.setattr(Autosave, "look", lambda saves, run, clock: looks.append(1))
        expected = in_rounds(whole, tmp_path / "whole", period_s=2.0)
    for place in range(1, len(looks)):
        seen = []

        def save_and_die(saves, run, clock, seen=seen, place=place):
            seen.append(1)
            if len(seen) == place:
                saves.write(run, clock)
                raise Killed

        recorder, folder = Recorder(), tmp_path / str(place)
        with monkeypatch.context() as patch:
            patch.setattr(Autosave, "look", save_and_die)
            with pytest.raises(Killed):
                in_rounds(recorder, folder, period_s=2.0)
        run = in_rounds(recorder, folder, period_s=2.0, resume=True)
        assert recorder.told() == whole.told() and run.arrays_sha256() == expected.arrays_sha256()


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
