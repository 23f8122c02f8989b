import json
import re
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.scaling import Scaler
from eafl_flower.data.tables.columns import TableColumn
from eafl_flower.errors import ConfigError
from eafl_flower.heads.prior import FeatureRanges
from eafl_flower.results.model_description import ModelDescription


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
        client_names=("021", "7", "7"),
        ranges=FeatureRanges(rng.standard_normal(3), 3 + rng.standard_normal(3)),
    )


def test_a_description_comes_back_to_the_last_bit(description):
    again = ModelDescription.from_json(description.to_json())
    assert again.to_json() == description.to_json()
    assert again.class_names == description.class_names
    assert again.client_names == description.client_names
    assert np.array_equal(again.scaler.mean, description.scaler.mean)
    assert np.array_equal(again.scaler.scale, description.scaler.scale)
    assert np.array_equal(again.ranges.low, description.ranges.low)
    assert np.array_equal(again.ranges.high, description.ranges.high)


def test_ranges_may_be_missing_as_in_files_of_an_earlier_version(description):
    without = replace(description, ranges=None).to_json()
    assert ModelDescription.from_json(without).ranges is None
    assert ModelDescription.from_json(without.replace(',\n "ranges": null', "")).ranges is None


def test_quantiles_are_there_where_features_are_read_in_bins_alone(description):
    table = np.sort(generator(1, "table").standard_normal((33, 3)), axis=0)
    again = ModelDescription.from_json(replace(description, quantiles=table).to_json())
    np.testing.assert_array_equal(again.quantiles, table)
    assert "quantiles" not in description.to_json()
    assert ModelDescription.from_json(description.to_json()).quantiles is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[0.0] * 3] * 32, r"it is damaged: quantiles of shape \(32, 3\), expected \(33, 3\)"),
        ([[0.0] * 4] * 33, r"it is damaged: quantiles of shape \(33, 4\), expected \(33, 3\)"),
        ([[0.0] * 3] * 32 + [[0.0]], "it is damaged: quantiles that are no table of numbers"),
        ([[0.0] * 3] * 32 + [[0.0, -1.0, 0.0]], "it is damaged: quantiles that are not finite or do not ascend"),
        ([["0"] * 3] * 33, "quantiles = .*: expected a list, each of it a list of finite numbers"),
        (None, "quantiles = null: expected a list"),
        (7, "quantiles = 7: expected a list"),
    ],
)
def test_damaged_quantiles_are_refused(description, table, message):
    told = {**json.loads(description.to_json()), "quantiles": table}
    with pytest.raises(ValueError, match=message):
        ModelDescription.from_json(json.dumps(told))


def test_columns_of_a_file_of_ones_own_come_back_with_their_kind_and_words(description):
    columns = (TableColumn(name="a=other", unit="km/h"), TableColumn(name="=", words=("x=1",)))
    own = replace(description, data="csv", columns=columns)
    assert ModelDescription.from_json(own.to_json()).columns == columns
    with pytest.raises(ValueError, match="it is damaged: 3 features, but its columns give 1"):
        ModelDescription.from_json(replace(own, columns=columns[:1]).to_json())
    before = re.sub(r',\n "columns": .*', "", own.to_json())
    with pytest.raises(ValueError, match="by an earlier version, without the columns of the file; repeat the run"):
        ModelDescription.from_json(before)
    assert ModelDescription.from_json(before.replace('"csv"', '"idm"')).columns == ()


def test_features_need_not_be_scaled(description):
    assert ModelDescription.from_json(replace(description, scaler=None).to_json()).scaler is None


def test_a_client_is_found_by_what_the_data_call_it(description):
    assert description.client_called("021") == 0
    with pytest.raises(ConfigError, match="2 clients are called 7: the numbers 1, 2; give one by --client"):
        description.client_called("7")
    assert replace(description, client_names=("Van 1", "7")).client_called("van  1") == 0
    assert replace(description, client_names=("7", "7.0")).client_called("7.0") == 1
    with pytest.raises(ConfigError, match="no client of the run is called 21: expected one of 021, 7, 7"):
        description.client_called("21")
    with pytest.raises(ConfigError, match="the clients of idm have numbers but no names"):
        replace(description, client_names=()).client_called("7")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("eafl-flower model 1", "eafl-flower model 2", r"has the format 'eafl-flower model 2', this version .* reads"),
        ('"classes"', '"Klassen"', "it lacks classes"),
        ('"c"', '"c", "d"', "4 features, but 3 means and 3 scales"),
        ('"low": [', '"low": [0, ', "3 features, but 4 and 3 ends of ranges"),
        ("{", "[", "Expecting"),
    ],
)
def test_anything_else_is_refused(description, old, new, message):
    with pytest.raises(ValueError, match=message):
        ModelDescription.from_json(description.to_json().replace(old, new))
