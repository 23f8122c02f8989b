"""What a job starts from may depend on its order: as many columns of a matrix as the rank that was ordered."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from flwr.app import ArrayRecord
from ordered_app import factory_of
from toy_federation import Recorder, network

from eafl_flower.aggregation import FedAvg
from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.core.orders import Order
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.strategies import AsynchronousStrategy

CODECS = {"plain": None, "int8": Int8Codec(), "lqgcm": LQGCMCodec(tuples=8, downlink_tuples=4)}
COLUMNS = 6


@dataclass(frozen=True, kw_only=True)
class Columns(FedAvg):
    """Sends the first columns of its matrix, and adds to them what comes back."""

    def arrays(self, state, order=None):
        matrix, *rest = super().arrays(state)
        rank = order.rank if order is not None and order.rank else COLUMNS
        return (np.ascontiguousarray(matrix[:, :rank]), *rest)

    def apply(self, state, updates):
        padded = []
        for update in updates:
            matrix, *rest = update.delta
            missing = COLUMNS - matrix.shape[1]
            padded.append(replace(update, delta=(np.pad(matrix, ((0, 0), (0, missing))), *rest), base=None))
        return super().apply(state, padded)


@dataclass(frozen=True)
class Ranks:
    """Client 0 gets rank 2 for ever, the others change theirs after every third job."""

    def init(self, clients):
        return None

    def offer(self, state, client, forecast):
        return Order(rank=2 if client == 0 else 2 + (client + forecast.jobs // 3) % 3)

    def learn(self, state, outcome):
        return None


def run_ranks(codec, *, barrier=False, app=None, recorder=None, **options):
    recorder = recorder or Recorder()
    options = {"unit": "merges", **network(), "seed": 3, "node_timeout_s": 5.0, **options}
    num_rounds = options.pop("num_rounds", 40)
    strategy = AsynchronousStrategy(
        lambda *_: Columns(), barrier=barrier, codec=codec, observer=recorder, scheduler=Ranks(), **options
    )
    start = ArrayRecord([np.ones((2, COLUMNS), np.float32), np.zeros(3, np.float32)])
    strategy.start(InlineGrid(app or factory_of(codec)(), 4), start, num_rounds=num_rounds)
    return strategy.run, recorder


@pytest.mark.parametrize("barrier", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_each_job_starts_from_the_arrays_of_its_own_order(codec, barrier):
    """Jobs of one version too; where the rank of a client changes it is sent whole arrays."""
    run, recorder = run_ranks(CODECS[codec], barrier=barrier, num_rounds=12 if barrier else 40)
    assert not recorder.of("refused") + recorder.of("error")
    seen = {}
    for event in recorder.of("merge"):
        job = seen.get(event["client"], 0)
        expected = 2 if event["client"] == 0 else 2 + (event["client"] + job // 3) % 3
        assert event["metrics"]["columns"] == expected
        seen[event["client"]] = job + 1
    matrix = run.state.arrays[0]
    assert (matrix[:, 4:] == 1).all()
    assert (matrix[:, :2] > 1).all()
    by_version = {}
    for event in recorder.of("merge"):
        by_version.setdefault(event["base_version"], set()).add(event["metrics"]["columns"])
    assert max(map(len, by_version.values())) > 1


@pytest.mark.parametrize("barrier", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_a_run_of_many_ranks_that_was_killed_ends_as_if_nothing_had_happened(tmp_path, codec, barrier):
    options = {"barrier": barrier, "checkpoint_every": 2, "num_rounds": 12 if barrier else 40}

    def go(name, recorder=None, **more):
        app = factory_of(CODECS[codec], state_dir=tmp_path / name)()
        path = tmp_path / f"{name}.c"
        return run_ranks(CODECS[codec], app=app, recorder=recorder, checkpoint=path, **options, **more)

    whole, told = go("whole")
    for share in (0.35, 0.6, 0.8):
        name, recorder = f"killed {share}", Recorder(stop_at=int(len(told.events) * share))
        with pytest.raises(KeyboardInterrupt):
            go(name, recorder)
        run, recorder = go(name, recorder, resume=True)
        assert run.arrays_sha256() == whole.arrays_sha256()
        assert recorder.told() == told.told()
