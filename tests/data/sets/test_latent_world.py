import numpy as np
import pytest

from eafl_flower.alignment.reader import fit_reader
from eafl_flower.data.content import content_of
from eafl_flower.data.holders import Holders
from eafl_flower.data.sets.latent_world import LatentWorld
from eafl_flower.errors import ConfigError

WORLD = LatentWorld(access_point=16, users=(20, 30), pilots=300, tests=200, semantic=8)


def made(world=WORLD, **holders):
    return world.make(Holders(**{"clients": 3, "unseen": 1, "seed": 1, **holders}))


def test_all_encoders_have_seen_the_same_data_and_no_two_are_alike():
    source = made()
    parts = [source.partition(k) for k in range(3)]
    assert (source.num_clients, source.num_seen, len(source.feature_names)) == (3, 2, 16)
    assert [part.x_train.shape for part in parts] == [(300, 36), (300, 46), (300, 36)]
    assert [part.x_test.shape for part in parts] == [(200, 36), (200, 46), (200, 36)]
    for part in parts[1:]:
        np.testing.assert_array_equal(part.x_train[:, :16], parts[0].x_train[:, :16])
        np.testing.assert_array_equal(part.y_train, parts[0].y_train)
        np.testing.assert_array_equal(part.y_test, parts[0].y_test)
    assert not np.allclose(parts[0].x_train[:, 16:], parts[2].x_train[:, 16:], atol=0.5)


def test_the_seed_decides():
    assert content_of(made()) == content_of(made())
    assert content_of(made()) != content_of(made(seed=2))


@pytest.mark.parametrize("data", ["drawn", "digits"])
def test_own_latents_say_which_class_a_datum_has(data):
    pytest.importorskip("sklearn") if data == "digits" else None
    rows = made(LatentWorld(data=data)).partition(0)
    own, tests = rows.x_train[:, 48:].T.astype(float), rows.x_test[:, 48:].T.astype(float)
    right = np.mean(fit_reader(own, rows.y_train, 10)(tests) == rows.y_test)
    assert right > 0.8  # of ten classes


def test_more_digits_than_there_are_cannot_be_had():
    pytest.importorskip("sklearn")
    with pytest.raises(ConfigError, match="3000 pilots and tests: there are 1797 digits"):
        made(LatentWorld(data="digits", pilots=2500))


def test_there_is_a_user_with_latents():
    with pytest.raises(ConfigError, match="expected at least one number"):
        LatentWorld(users=())
