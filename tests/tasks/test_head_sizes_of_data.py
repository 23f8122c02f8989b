"""Which sizes the entropy gives to the clients of real data sets."""

import os

import numpy as np
import pytest

from eafl_flower.app.resolving import resolve
from eafl_flower.config import RunConfig
from eafl_flower.core.rng import generator
from eafl_flower.errors import DataError
from eafl_flower.heads.prior import NUM_BINS, FeatureRanges, entropy_bits

FRACTAL = {"task.fractal.head": "private", "task.name": "fractal", "task.learning-rate": 0.02}


def built(**flat):
    if not os.environ.get("EAFL_DATA_DIR"):
        pytest.skip("real data: set EAFL_DATA_DIR")
    config = RunConfig.from_flat({**FRACTAL, **{key.replace("_", "."): value for key, value in flat.items()}})
    try:
        source = resolve(config).source
    except DataError as error:
        pytest.skip(f"real data: {error}")
    return source, resolve(config).task


def test_geolife_users_have_at_least_three_prior_sizes():
    source, task = built(data_name="geolife", data_clients=0, data_unseen=0)
    assert len({task.prior_size(source.partition(client)) for client in range(source.num_clients)}) >= 3


def test_entropies_of_real_features_are_within_their_bounds():
    source, task = built(data_name="geolife", data_clients=0, data_unseen=0)
    ranges = task.ranges()
    for client in range(source.num_clients):
        entropy = entropy_bits(source.partition(client).x_train, ranges)
        assert np.all((entropy >= 0) & (entropy <= np.log2(NUM_BINS)))


def test_the_ranges_come_from_training_rows_of_clients_that_train():
    config = RunConfig.from_flat({**FRACTAL, "data.clients": 5, "data.unseen": 2})
    source = resolve(config).source
    expected = FeatureRanges.of(np.concatenate([source.partition(client).x_train for client in range(3)]))
    ranges = resolve(config).task.ranges()
    assert np.array_equal(ranges.low, expected.low)
    assert np.array_equal(ranges.high, expected.high)


def test_without_a_table_at_hand_a_client_is_measured_by_its_own_rows():
    config = RunConfig.from_flat({**FRACTAL, "data.clients": 5, "data.unseen": 2, "data.idm.rows-per-client": 128})
    rows = resolve(config).source.partition(4)
    task = resolve(config).task_of(resolve(config).source, ranges=lambda: None)
    model = task.init(generator(1, "init"))
    task.check_head(task.personalise(model, rows, generator(1, "personalise"), client=4)[15:])
