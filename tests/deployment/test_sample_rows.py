import numpy as np
import pandas as pd
import pytest

from eafl_flower.data.sets.car_following import CLASS_NAMES, FEATURE_NAMES
from eafl_flower.data.sets.own_rows import OwnRows
from eafl_flower.deployment.sample_rows import LABEL, TIME, VEHICLES, write_sample
from eafl_flower.errors import ConfigError


def test_each_file_has_the_same_columns_and_a_row_a_second_of_each_vehicle(tmp_path):
    first, second = write_sample(tmp_path / "rows", ["rsu-0", "rsu-1"], seconds=12, seed=1)
    assert (first.name, second.name) == ("rsu-0.csv", "rsu-1.csv")
    tables = [pd.read_csv(path) for path in (first, second)]
    for table in tables:
        assert tuple(table.columns) == (TIME, *FEATURE_NAMES, LABEL)
        assert table[TIME].tolist() == [second for second in range(12) for _ in range(VEHICLES)]
        assert set(table[LABEL]) <= set(CLASS_NAMES)
    assert not tables[0].equals(tables[1])


def test_a_node_reads_them_as_its_own_rows(tmp_path):
    (path,) = write_sample(tmp_path, ["rsu-0"], seconds=40, seed=1)
    table = OwnRows(label_column=LABEL, time_column=TIME).read(path, client=0, trains=True, seed=1)
    assert table.columns == FEATURE_NAMES and set(table.classes) == set(CLASS_NAMES)
    assert (len(table.part.y_train), len(table.part.y_test)) == (30 * VEHICLES, 10 * VEHICLES)


def test_a_seed_means_the_same_rows(tmp_path):
    made = [write_sample(tmp_path / str(n), ["a"], seconds=10, seed=seed) for n, seed in enumerate((1, 1, 2))]
    one, again, other = (np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, 13)) for (path,) in made)
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_a_file_that_is_there_is_not_replaced(tmp_path):
    (tmp_path / "b.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"b\.csv is there already"):
        write_sample(tmp_path, ["a", "b"], seconds=10, seed=1)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("units", [[], ["a", "a"], ["../a"]])
def test_what_is_no_name_is_refused(tmp_path, units):
    with pytest.raises(ConfigError, match="expected different names"):
        write_sample(tmp_path, units, seconds=10, seed=1)
