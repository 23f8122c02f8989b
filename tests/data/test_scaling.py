import numpy as np

from eafl_flower.data.partition import Part
from eafl_flower.data.scaling import Scaler, scaled_rows


def part(train, test):
    y = np.zeros(len(train), dtype=int)
    return Part(x_train=np.array(train), y_train=y, x_test=np.array(test), y_test=np.zeros(len(test), dtype=int))


def test_only_training_rows_of_training_clients_set_the_scale():
    seen = part([[1.0], [3.0]], [[100.0]])
    rows, scaler = scaled_rows([seen, part([[1e6]], [[5.0]])], num_seen=1)
    assert (scaler.mean, scaler.scale) == (2, 1)
    np.testing.assert_allclose(rows[0].x_train[:, 0], [-1, 1])
    np.testing.assert_allclose(rows[1].x_test[:, 0], [3])
    assert rows[0].x_train.dtype == np.float32


def test_a_constant_column_becomes_zero_and_far_values_are_cut():
    scaler = Scaler.fit(np.array([[0.1, 0.0], [0.1, 2.0], [0.1, 4.0]]))
    np.testing.assert_array_equal(scaler.apply(np.array([[0.1, 1e9], [7.0, -1e9]])), [[0, 8], [0, -8]])
