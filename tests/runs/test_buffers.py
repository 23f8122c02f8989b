"""Models with arrays that are not trained: masks of minus infinity, statistics that are NaN, flags, bytes."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import FedAvg
from foreign_app import ordinary_app, run_foreign
from toy_federation import toy_app

from eafl_flower.clients import compression_mod
from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.errors import ConfigError, RunFailedError
from eafl_flower.strategies import EMAM, AsyncEMAM, Compressed

MASK = np.where(np.tri(4, dtype=bool), np.float32(0), np.float32(-np.inf))
BUFFERS = {"mask": MASK, "nothing": np.full(3, np.nan, np.float32), "flags": np.array([True, False])}


def record(**arrays):
    return ArrayRecord({k: Array(np.asarray(v)) for k, v in arrays.items()})


def only_w(values):
    return {k: v + np.float32(1) if k == "w" else v for k, v in values.items()}


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM])
def test_buffers_that_do_not_change_pass(strategy, flower_log):
    given = record(w=np.zeros(3, np.float32), **BUFFERS)
    result, _ = run_foreign(made := strategy(), 3, initial=given, change=only_w)
    assert made.run.tally.refused == 0
    assert "mask (6 of 16), nothing (3 of 3); they stay as they are" in flower_log.text
    for name, value in BUFFERS.items():
        np.testing.assert_array_equal(result.arrays[name].numpy(), value)
    assert result.arrays["w"].numpy().min() > 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mask", np.full((4, 4), -np.inf, np.float32), "is not finite"),
        ("mask", np.zeros((4, 4), np.float32), "is not finite"),
        ("w", np.full(3, np.nan, np.float32), "is not finite"),
        ("flags", np.array([False, False]), "changes boolean array"),
    ],
)
def test_an_element_that_becomes_or_ceases_to_be_finite_refuses_the_update(name, value, message):
    given = record(w=np.zeros(3, np.float32), **BUFFERS)
    with pytest.raises(RunFailedError, match=message):
        run_foreign(AsyncEMAM(), 3, initial=given, change=lambda values: {**only_w(values), name: value})


CODECS = pytest.mark.parametrize("codec", [Int8Codec(), LQGCMCodec(tuples=2, downlink_tuples=1)], ids=["int8", "lqgcm"])


@CODECS
def test_buffers_pass_through_a_codec(codec):
    arrays = [np.ones(6, np.float32), MASK, BUFFERS["nothing"], BUFFERS["flags"]]
    app = toy_app(codec=codec, train=lambda client, counter, arrays: [arrays[0] + np.float32(1), *arrays[1:]])
    made = AsyncEMAM(codec=codec)
    result = made.start(InlineGrid(app, 4), ArrayRecord(arrays), num_rounds=4)
    assert (made.run.tally.refused, made.run.tally.errors) == (0, 0)
    for new, old in zip(result.arrays.to_numpy_ndarrays()[1:], arrays[1:], strict=True):
        np.testing.assert_array_equal(new, old)


@CODECS
def test_buffers_pass_through_a_wrapped_strategy(codec):
    app = ordinary_app(change=only_w)
    given = record(w=np.zeros(3, np.float32), mask=MASK, nothing=BUFFERS["nothing"])

    def coded(message, context):
        return compression_mod(codec)(message, context, app)

    result, _ = run_foreign(Compressed(FedAvg(), codec), 3, initial=given, app=coded)
    for name in ("mask", "nothing"):
        new, special = result.arrays[name].numpy(), ~np.isfinite(BUFFERS[name])
        np.testing.assert_array_equal(new[special], BUFFERS[name][special])
        assert np.isfinite(new[~special]).all()  # with the noise of the codec
    assert result.arrays["w"].numpy().min() > 0


def test_arrays_that_cannot_be_merged_are_refused_by_name_before_anybody_is_asked():
    with pytest.raises(ConfigError, match=r"holds e \(complex64\), t \(str"):
        run_foreign(AsyncEMAM(), 1, initial=record(w=np.zeros(2), e=np.zeros(2, np.complex64), t=np.array(["a"])))


def test_the_bytes_of_xgboost_get_one_line_that_says_what_to_do():
    with pytest.raises(ConfigError, match="FedXgbBagging"):
        run_foreign(AsyncEMAM(), 1, initial=record(model=np.zeros(0, np.uint8)))
    given = record(w=np.zeros(2, np.float32), trees=np.zeros(5, np.uint8))
    with pytest.raises(
        RunFailedError, match=r'array "trees" as uint8 \(9,\), expected uint8 \(5,\): bytes.*FedXgbBagging'
    ):
        run_foreign(AsyncEMAM(), 1, initial=given, change=lambda v: {**v, "trees": np.ones(9, np.uint8)})


def test_a_bytes_array_that_does_not_change_passes():
    given = record(w=np.zeros(2, np.float32), table=np.arange(5, dtype=np.uint8))
    result, _ = run_foreign(AsyncEMAM(), 2, initial=given, change=only_w)
    assert result.arrays["table"].numpy().tolist() == [0, 1, 2, 3, 4]
