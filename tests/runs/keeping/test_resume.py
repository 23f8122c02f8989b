"""A run that was stopped anywhere and resumed equals one that never stopped."""

import dataclasses

import pytest
from toy_federation import Recorder, run_toy, same_for_all, toy_app
from troubled_runs import CODEC, DIFFERENCES, Killed, everything, go, sometimes_broken

from eafl_flower.aggregation.reference import FedBuff
from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.codecs import LAQCodec
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.runs.snapshot import Snapshot
from eafl_flower.strategies import EMAM, AsynchronousStrategy, StopRule

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

OFTEN = ("asynchronous", "buffered", "differences, few remembered")


@pytest.mark.parametrize(
    ("method", "num_random"),
    [
        ("differences", 0),
        *(pytest.param(method, 0, marks=pytest.mark.slow) for method in ("weights", "barrier")),
        *(pytest.param(method, 12, marks=pytest.mark.slow) for method in OFTEN),
        *(pytest.param(m, 12, marks=[pytest.mark.slow, pytest.mark.long]) for m in METHODS if m not in OFTEN),
    ],
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
