"""A checkpoint is of one run: what may be another when it is resumed, and what may not."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord
from toy_federation import Recorder, initial, network, run_toy, toy_app
from troubled_runs import CODEC, DIFFERENCES, everything, go, sometimes_broken

from eafl_flower.aggregation.reference import FedBuff
from eafl_flower.aggregation.staleness import HalfLife, Polynomial
from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.core.provenance import Content, Provenance
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import CheckpointError
from eafl_flower.strategies import AsynchronousStrategy


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
