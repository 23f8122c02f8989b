"""Updates as training makes them: of the embedded traffic, and of recorded data where they are at hand."""

import os
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from eafl_flower.app.resolving import resolve
from eafl_flower.codecs import LQGCMCodec, PublishedLQGCMCodec, read_codebook
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError
from eafl_flower.types import layout_of

RNG = generator(1, "unused")
RECORDED = ("alp-ngsim", "alp-unsw")


@cache
def updates(preset):
    """Ten consecutive updates of one client that trains by itself."""
    if preset in RECORDED and not os.environ.get("EAFL_DATA_DIR"):
        pytest.skip("EAFL_DATA_DIR is not set: recorded data are not part of the project")
    config = RunConfig.from_toml(preset)
    config = config.replace({"task.name": "fractal", "task.fractal.head": config.task.part.head})
    workload = resolve(config).workload
    task, rows = workload.task, workload.source.partition(0)
    arrays = task.personalise(workload.initial(1), rows, generator(1, "head"), client=0)
    found = []
    for n in range(10):
        new, _ = task.train(arrays, rows, generator(1, "train", n), epochs=1)
        found.append(tuple(b - a for a, b in zip(arrays, new, strict=True))[: task.num_shared])
        arrays = new
    return found


def pooled(arrays):
    return np.concatenate([a.reshape(-1) for a in arrays]).astype(float)


def captured(codec, stream):
    """Shares of energy that arrive, checked against what the encoder says."""
    sender = receiver = codec.init(layout_of(stream[0]))
    shares = []
    for counter, arrays in enumerate(stream, 1):
        encoded, sender = codec.encode(replace(sender, counter=counter, acknowledged=counter - 1), arrays, RNG)
        decoded, receiver = codec.decode(receiver, encoded.payload)
        x, y = pooled(arrays), pooled(decoded)
        shares.append(1 - np.sum((x - y) ** 2) / np.sum(x**2))
        assert encoded.error == pytest.approx(np.sqrt(1 - shares[-1]), rel=1e-5)
    return np.array(shares)


@pytest.mark.parametrize("preset", ["emam", *RECORDED])
def test_the_published_codec_carries_less_than_a_twentieth_of_a_decibel_and_ours_30_times_its_energy(preset):
    published, ours = (captured(codec, updates(preset)) for codec in (PublishedLQGCMCodec(), LQGCMCodec()))
    assert (published > 0).all()
    assert (-10 * np.log10(1 - published) < 0.05).all()
    assert ours.mean() > 30 * published.mean()


@pytest.mark.parametrize("preset", ["emam", *RECORDED])
def test_the_clip_of_the_source_makes_it_worse(preset):
    norm = min(np.abs(pooled(u)).sum() for u in updates(preset))
    plain, clipped = (captured(PublishedLQGCMCodec(l1_clip=c), updates(preset)) for c in (0.0, float(norm) / 2))
    assert (clipped < plain).all()


@pytest.mark.parametrize("preset", ["emam", *RECORDED])
def test_more_tuples_carry_more(preset):
    shares = [captured(LQGCMCodec(tuples=t), updates(preset)).mean() for t in (6, 18, 60, 300)]
    assert (np.diff(shares) > 0).all()


def test_settings_become_codecs(tmp_path):
    config = RunConfig().replace
    assert resolve(config({"codec.name": "lqgcm"})).codec == LQGCMCodec()
    changed = {
        "codec.lqgcm.tuples": 7,
        "codec.lqgcm.downlink-tuples": 9,
        "codec.lqgcm.prediction": False,
        "codec.lqgcm.mode": "dithered",
    }
    expected = LQGCMCodec(tuples=7, downlink_tuples=9, prediction=False, mode="dithered")
    assert resolve(config({"codec.name": "lqgcm", **changed})).codec == expected
    assert expected.downlink.num_tuples(layout_of((np.zeros(5000, np.float32),))) == 9
    published = config({"codec.name": "lqgcm-published", "codec.lqgcm-published.l1-clip": 1.0})
    assert resolve(published).codec == PublishedLQGCMCodec(l1_clip=1.0)
    with pytest.raises(ConfigError, match=r'codec.lqgcm.codebook = "".*mode = "rvq" needs the file of one'):
        config({"codec.name": "lqgcm", "codec.lqgcm.mode": "rvq"})
    with pytest.raises(ConfigError, match=r'mode = "sign" has none'):
        config({"codec.name": "lqgcm", "codec.lqgcm.codebook": "x"})
    with pytest.raises(ConfigError, match="cannot be read as a codebook"):
        read_codebook(tmp_path)
