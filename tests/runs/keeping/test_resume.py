"""A run that was stopped anywhere and resumed equals one that never stopped."""

import dataclasses
import os
import signal

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord
from toy_federation import Recorder, initial, network, run_toy, same_for_all, toy_app

from eafl_flower.aggregation.reference import FedBuff
from eafl_flower.aggregation.staleness import HalfLife, Polynomial
from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.codecs import Int8Codec, LAQCodec, LQGCMCodec
from eafl_flower.config import RunConfig
from eafl_flower.core.provenance import Content, Provenance
from eafl_flower.core.rng import generator
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import CheckpointError
from eafl_flower.runs.snapshot import Snapshot
from eafl_flower.simulation.churn import OnOff
from eafl_flower.strategies import EMAM, AsyncEMAM, AsynchronousStrategy, StopRule

CODEC = Int8Codec(block_size=4)
DIFFERENCES = LQGCMCodec(tuples=2, downlink_tuples=1)


class Killed(BaseException):
    """As if the process had died: nothing gets a chance to write anything."""


def sometimes_broken(client, counter, arrays):
    if (client + 3 * counter) % 11 == 0:
        raise ValueError("out of order")
    return [a * np.nan for a in arrays] if (client + counter) % 13 == 0 else None


def everything(tmp_path, **options):
    """Churn, slow clients, deadlines, errors, refusals, int8 and evaluations."""
    return {
        **{"strategy": AsyncEMAM, "codec": CODEC, "concurrency": 4, "seed": 5, "deadline_s": 1.0},
        **network(slowdown=(1.0, 8.0, 30.0, 60.0)),
        "churn": OnOff(seed=3, mean_on_s=4.0, mean_off_s=0.7),
        **{"evaluate_every": 20, "evaluate_first": True, "checkpoint_every": 7, "run_name": "toy"},
        "checkpoint": tmp_path / "server.safetensors",
        **options,
    }


def go(tmp_path, merges, recorder, **options):
    app = toy_app(codec=options.get("codec", CODEC), train=sometimes_broken, state_dir=tmp_path / "state")
    return run_toy(6, merges, app=app, recorder=recorder, **everything(tmp_path, **options))[0]


METHODS = {
    "asynchronous": {},
    "barrier": {"strategy": EMAM, "concurrency": 3},
    "buffered": {
        "strategy": lambda **options: AsynchronousStrategy(lambda *_: FedBuff(buffer_size=3), **options),
        "concurrency": 5,
    },
    "plain arrays": {"codec": None},
    "differences": {"codec": DIFFERENCES},
    "differences, few remembered": {"codec": DIFFERENCES, "remembered_clients": 1},
    "weights": {"codec": LAQCodec(bits=4)},
    "differences with a barrier": {"codec": DIFFERENCES, "strategy": EMAM, "concurrency": 3},
}


FAST = ("differences", "weights", "barrier")


@pytest.mark.parametrize(
    ("method", "num_random"),
    [*((m, 0) for m in FAST), *(pytest.param(m, 12, marks=pytest.mark.slow) for m in METHODS)],
)
def test_a_run_killed_at_any_event_and_resumed_equals_one_that_was_not(tmp_path, method, num_random):
    options, merges = METHODS[method], 22 if "barrier" in method or method == "buffered" else 60
    undisturbed = Recorder()
    expected = go(tmp_path / "undisturbed", merges, undisturbed, **options)
    kinds = {e["event"] for e in undisturbed.events}
    assert {"start", "merge", "lost", "error", "refused", "evaluate", "checkpoint", "stop"} <= kinds
    places = generator(1, "kills", method).choice(len(undisturbed.events), num_random, replace=False)
    first = {e["event"]: i for i, e in reversed(list(enumerate(undisturbed.events)))}
    last = {e["event"]: i for i, e in enumerate(undisturbed.events)} if num_random else {}
    for place in sorted({*map(int, places), *first.values(), *last.values()}):
        folder = tmp_path / str(place)
        recorder = Recorder(stop_at=place, error=Killed)
        with pytest.raises(Killed):
            go(folder, merges, recorder, **options)
        has_one = (folder / "server.safetensors").exists()
        if not has_one:
            recorder.events.clear()
        run = go(folder, merges, recorder, resume=has_one, **options)
        assert run.arrays_sha256() == expected.arrays_sha256(), place
        assert recorder.told() == undisturbed.told(), place
        assert run.tally == expected.tally
        assert run.tally.states_lost == 0
        assert run.client_scores == expected.client_scores
        assert run.ledger.total() == expected.ledger.total()
        assert run.result.evaluate_metrics_clientapp == expected.result.evaluate_metrics_clientapp


def test_a_run_killed_again_and_again_gets_there(tmp_path):
    undisturbed = Recorder()
    expected = go(tmp_path / "undisturbed", 60, undisturbed)
    recorder, resume, kills = Recorder(), False, 0
    while True:
        recorder.stop_at, recorder.error = len(recorder.events) + 15, Killed
        try:
            run = go(tmp_path / "killed", 60, recorder, resume=resume)
            break
        except Killed:
            resume, kills = (tmp_path / "killed" / "server.safetensors").exists(), kills + 1
    assert kills > 3
    assert run.arrays_sha256() == expected.arrays_sha256()
    assert recorder.told() == undisturbed.told()


def test_a_run_that_has_ended_can_be_resumed_and_ends_the_same_way(tmp_path):
    stop = StopRule(metric="mean", target=3.0)
    recorder = Recorder()
    expected = go(tmp_path, 1000, recorder, stop=stop, evaluate_every=7)
    assert expected.stop_reason.startswith("mean reached")
    told = recorder.told()
    again = go(tmp_path, 1000, recorder, stop=stop, evaluate_every=7, resume=True)
    assert again.arrays_sha256() == expected.arrays_sha256()
    assert again.stop_reason == expected.stop_reason
    assert recorder.told() == told


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


PRIVATE = {
    **{
        "data.clients": 6,
        "data.unseen": 2,
        "data.idm.rows-per-client": 32,
        "task.tabular.hidden": "8,8",
        "strategy.merges": 80,
    },
    **{"churn.on-job-times": 8.0, "churn.off-job-times": 3.0, "clients.slowdown": "1,2,4,8", "evaluate.every": 25},
    **{"checkpoint.every": 9, "strategy.concurrency": 3},
}


@pytest.mark.parametrize("codec", ["int8", "lqgcm"])
def test_private_heads_churn_and_the_codecs_memory_survive_a_kill(tmp_path, codec):
    config = RunConfig.from_flat({**PRIVATE, "codec.name": codec})

    def go(folder, recorder, **options):
        grid = InlineGrid(client_app(resolve(config), folder / "state"), resolve(config).source.num_clients)
        return train(resolve(config), grid, observer=recorder, checkpoint=folder / "server.safetensors", **options)

    undisturbed = Recorder()
    expected = go(tmp_path / "undisturbed", undisturbed)
    assert expected.tally.lost > 0
    recorder = Recorder(stop_at=60, error=Killed)
    with pytest.raises(Killed):
        go(tmp_path / "killed", recorder)
    run = go(tmp_path / "killed", recorder, resume=True)
    assert run.arrays_sha256() == expected.arrays_sha256()
    assert recorder.told() == undisturbed.told()
    assert run.client_scores == expected.client_scores  # of the private heads, too


@pytest.mark.parametrize("codec", [CODEC, DIFFERENCES], ids=str)
def test_a_resumed_run_without_the_clients_states_says_so(tmp_path, codec):
    recorder = Recorder(stop_at=60, error=Killed)
    with pytest.raises(Killed):
        go(tmp_path, 60, recorder, codec=codec)
    app = toy_app(codec=codec, train=sometimes_broken)  # no folder: their states died with them
    run, _ = run_toy(6, 60, app=app, recorder=recorder, resume=True, **everything(tmp_path, codec=codec))
    assert run.tally.states_lost > 0
    assert run.version == 60


def test_a_checkpoint_may_be_made_while_a_client_says_that_it_lost_its_state(tmp_path):
    """Its answer takes 0.4 s; until it has arrived, the job and what its arrays build on are part of the run."""

    class Forgetful(InlineGrid):
        def _run_client(self, message_id):
            message, _ = self._pending[message_id]
            if message.metadata.message_type == "train" and message.content["eafl"]["counter"] == 3:
                self._states.pop(message.metadata.dst_node_id, None)
            super()._run_client(message_id)

    def go(folder, recorder, **options):
        options |= {"checkpoint": folder / "server.safetensors", "checkpoint_every": 1, **same_for_all()}
        grid = Forgetful(toy_app(codec=DIFFERENCES), 6)
        return run_toy(6, 40, grid=grid, recorder=recorder, codec=DIFFERENCES, concurrency=4, **options)[0]

    undisturbed = Recorder()
    go(tmp_path, undisturbed)
    assert not undisturbed.of("error")  # who starts afresh is not sent the number of the state that it has lost
    places = [i for i, e in enumerate(undisturbed.events) if e["event"] == "refused"]
    assert any(undisturbed.events[i - 1]["event"] == "checkpoint" for i in places)
    for place in places:
        recorder = Recorder(stop_at=place, error=Killed)
        with pytest.raises(Killed):
            go(tmp_path / str(place), recorder)
        assert go(tmp_path / str(place), recorder, resume=True).version == 40


def test_what_is_sent_again_after_a_resume_is_the_very_same_message(tmp_path):
    """Payload, what it builds on and what is acknowledged, of each job that was open."""

    class Grid(InlineGrid):
        def __init__(self, *args):
            super().__init__(*args)
            self.sent = {}

        def push_messages(self, messages):
            for message in messages:
                terms, record = dict(message.content.get("eafl", {})), message.content.get("eafl.arrays")
                if message.metadata.message_type == "train":
                    del terms["durable"]  # grows with each checkpoint
                    self.sent.setdefault((terms["client"], terms["counter"]), []).append((terms, dict(record)))
            return super().push_messages(messages)

    app = toy_app(codec=DIFFERENCES, state_dir=tmp_path / "state")
    options = everything(tmp_path, codec=DIFFERENCES)
    grids = Grid(app, 6), Grid(app, 6)
    recorder = Recorder(stop_at=60, error=Killed)
    with pytest.raises(Killed):
        run_toy(merges=60, grid=grids[0], recorder=recorder, **options)
    run_toy(merges=60, grid=grids[1], recorder=recorder, resume=True, **options)
    both = grids[0].sent.keys() & grids[1].sent.keys()
    assert len(both) >= 4
    assert any("onto" in grids[0].sent[job][0][1] for job in both)
    for job in both:
        assert grids[1].sent[job] == grids[0].sent[job]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_name": "other"}, r"belongs to run 'toy', not to 'other'"),
        ({"seed": 6}, r"other settings \(seed: 5 -> 6\): resume with those$"),
        (
            {"strategy": lambda alpha, **options: AsynchronousStrategy(lambda *_: FedBuff(), **options)},
            r"\(aggregator: EMAMAggregator -> FedBuff\)",
        ),
        ({"alpha": 0.1}, r"\(aggregator.alpha: 0.5 -> 0.1\)"),
        ({"alpha": None}, r"\(aggregator: EMAMAggregator -> NewestMean\)"),
        ({"staleness": HalfLife(7.0)}, r"\(aggregator.staleness.half_life: 3.0 -> 7.0\)"),
        ({"staleness": Polynomial()}, r"\(aggregator.staleness: HalfLife -> Polynomial\)"),
        ({"codec": None}, r"\(codec: LQGCMCodec -> None\)"),
        ({"codec": Int8Codec()}, r"\(codec: LQGCMCodec -> Int8Codec\)"),
        ({"codec": LQGCMCodec(tuples=3, downlink_tuples=1)}, r"\(codec.tuples: 2 -> 3\)"),
        ({**network(slowdown=(1.0, 8.0, 30.0, 5.0))}, r"\(processors.slowdown.3: 60.0 -> 5.0\)"),
        ({"train_config": ConfigRecord({"lr": 0.5})}, r"\(train_config.lr: not set -> 0.5\)"),
        ({"provenance": Provenance(data=Content(counts={"rows": 9}))}, r"made from other data \(rows: 0 -> 9\)"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change, message):
    options = {"codec": DIFFERENCES, "alpha": 0.5}
    go(tmp_path, 8, Recorder(), **options)
    with pytest.raises(CheckpointError, match=message):
        go(tmp_path, 20, Recorder(), resume=True, **{**options, **change})


def test_what_changes_no_result_may_be_another_in_a_resumed_run(tmp_path):
    expected = go(tmp_path / "undisturbed", 40, Recorder(), codec=DIFFERENCES)
    go(tmp_path, 8, Recorder(), codec=DIFFERENCES)
    options = {"checkpoint_every": 3, "error_budget": 99, "min_available_nodes": 1}
    run = go(tmp_path, 40, Recorder(), resume=True, codec=DIFFERENCES, **options)
    assert run.arrays_sha256() == expected.arrays_sha256()


def test_a_checkpoint_with_more_merges_than_asked_for_is_refused(tmp_path):
    go(tmp_path, 20, Recorder())
    with pytest.raises(CheckpointError, match=r"holds 20 merges: expected at most the 19"):
        go(tmp_path, 19, Recorder(), resume=True)


def test_other_initial_arrays_are_told_and_change_nothing(tmp_path, caplog):
    expected = go(tmp_path / "undisturbed", 40, Recorder())
    go(tmp_path, 20, Recorder())
    app = toy_app(codec=CODEC, train=sometimes_broken, state_dir=tmp_path / "state")
    options = everything(tmp_path)
    strategy = options.pop("strategy")(resume=True, unit="merges", **options)
    other = ArrayRecord([array + 1 for array in initial().to_numpy_ndarrays()])
    with caplog.at_level("WARNING", logger="flwr"):
        strategy.start(InlineGrid(app, 6), other, num_rounds=40)
    assert strategy.run.arrays_sha256() == expected.arrays_sha256()
    assert [m for m in caplog.messages if "the initial arrays are not those the run toy was started with" in m]


def test_a_checkpoint_of_a_larger_federation_is_refused(tmp_path):
    go(tmp_path, 20, Recorder())
    app = toy_app(codec=CODEC, state_dir=tmp_path / "state")
    with pytest.raises(CheckpointError, match=r"clients \[.*\] of the checkpoint are not in the federation"):
        run_toy(3, 40, app=app, resume=True, **everything(tmp_path))


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    go(tmp_path, 8, Recorder())
    options = everything(tmp_path)
    strategy = options.pop("strategy")(resume=True, unit="merges", **options)
    with pytest.raises(CheckpointError, match="holds a model with other arrays"):
        strategy.start(InlineGrid(toy_app(codec=CODEC), 6), ArrayRecord([np.zeros(5, np.float32)]), num_rounds=9)


def test_a_snapshot_holds_all_that_changes():
    """Whoever adds state to a run must store it: this list is what is known to be made anew."""
    run, _ = run_toy(2, 3)
    made_anew = {"plan", "options", "models", "mail", "clock", "aggregator"}
    made_anew |= {
        *("trainers", "initial_sha256", "lost_states", "in_flight", "num_partitions", "time_s", "result", "_began_s"),
        *("progress", "explosion"),
    }
    stored_as = {
        "states": "aggregator",
        "plans": "scheduler",
        "jobs": "jobs",
        "pace": "round_size",
        "train_metrics": "train_pending",
    }
    names = {stored_as.get(name, name) for name in vars(run) if name not in made_anew}
    assert names <= {f.name for f in dataclasses.fields(Snapshot)}
