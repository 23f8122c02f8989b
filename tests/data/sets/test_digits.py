import builtins

import numpy as np
import pytest

from eafl_flower.data.sets.digits import load_digits
from eafl_flower.errors import ConfigError

pytest.importorskip("sklearn", reason="digits come with scikit-learn")


def test_a_hundred_clients_share_1437_images_and_360_test_images_are_dealt_out():
    source = load_digits()
    parts = [source.partition(i) for i in range(100)]
    assert sum(len(p.y_train) for p in parts) == 1437
    assert sum(len(p.y_test) for p in parts) == 360
    assert {len(p.y_test) for p in parts} == {3, 4}
    assert min(len(p.y_train) for p in parts) >= 2
    x = np.concatenate([p.x_train for p in parts])
    assert x.shape[1] == 64 and x.dtype == np.float32 and (x.min(), x.max()) == (0.0, 1.0)


def test_no_test_image_is_trained_on():
    # Two of the 1,797 images may be equal; rows are told apart by content here.
    source = load_digits(clients=10)
    train = [row.tobytes() for i in range(10) for row in source.partition(i).x_train]
    test = [row.tobytes() for i in range(10) for row in source.partition(i).x_test]
    assert len(train) + len(test) == 1797
    assert not set(train) & set(test)


def test_digits_are_shared_as_the_partition_says():
    sizes = {len(part.y_train) for part in load_digits(clients=10, partition="iid").parts}
    assert sizes == {143, 144}
    with pytest.raises(ConfigError, match=r"data\.partition = 'iid': a client would have 1 of 1437 rows"):
        load_digits(clients=1000, partition="iid")


def test_unseen_clients_keep_three_quarters_of_their_images_for_the_score():
    source = load_digits(clients=10, unseen=2)
    assert sum(len(source.partition(i).y_test) for i in range(8)) == 360
    part = source.partition(9)
    assert len(part.y_train) == (len(part.y_train) + len(part.y_test)) // 4


def test_without_scikit_learn_the_install_line_is_shown(monkeypatch):
    real = builtins.__import__

    def without_sklearn(name, *args, **kwargs):
        if name.split(".")[0] == "sklearn":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(ConfigError, match="needs scikit-learn: pip install scikit-learn"):
        load_digits()
