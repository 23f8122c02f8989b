from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.data.scaling import Scaler
from eafl_flower.results.model_description import ModelDescription
from eafl_flower.rng import generator


@pytest.fixture
def description():
    rng = generator(1, "description")
    return ModelDescription(
        run="emam-1",
        data="idm",
        feature_names=("a", "b", "c"),
        scaler=Scaler(mean=rng.standard_normal(3), scale=rng.exponential(size=3), limit=8.0),
        class_names=("brake", "Grün, gelb"),
        num_seen=2,
        client_states=(3, 0, 0),
    )


def test_a_description_comes_back_to_the_last_bit(description):
    again = ModelDescription.from_json(description.to_json())
    assert again.to_json() == description.to_json()
    assert again.class_names == description.class_names
    assert np.array_equal(again.scaler.mean, description.scaler.mean)
    assert np.array_equal(again.scaler.scale, description.scaler.scale)


def test_features_need_not_be_scaled(description):
    assert ModelDescription.from_json(replace(description, scaler=None).to_json()).scaler is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("eafl-flower model 1", "eafl-flower model 2", r"has the format 'eafl-flower model 2', this version .* reads"),
        ('"classes"', '"Klassen"', "damaged: KeyError"),
        ('"c"', '"c", "d"', "4 features, but 3 means and 3 scales"),
        ("{", "[", "Expecting"),
    ],
)
def test_anything_else_is_refused(description, old, new, message):
    with pytest.raises(ValueError, match=message):
        ModelDescription.from_json(description.to_json().replace(old, new))
