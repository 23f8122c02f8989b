import numpy as np
import pandas as pd
import pytest

from eafl_flower.deployment.sample_fleet import CLASSES, LABEL, TIME, VAN, write_fleet
from eafl_flower.errors import ConfigError


def test_each_van_has_a_row_each_five_minutes_of_eight_hours(tmp_path):
    path = tmp_path / "vans.csv"
    rows = write_fleet(path, vans=12, seed=1)
    table = pd.read_csv(path, parse_dates=[TIME])
    assert rows == len(table) == 12 * 96
    assert list(table[VAN].unique()) == [f"van-{number:02}" for number in range(1, 13)]
    for _, day in table.groupby(VAN):
        assert set(np.diff(day[TIME])) == {np.timedelta64(5, "m")}
    assert table.notna().all(axis=None)
    assert (table.groupby(VAN)[LABEL].nunique() == len(CLASSES)).all()  # every van has seen each class


def test_climbing_and_cold_cost_more(tmp_path):
    path = tmp_path / "vans.csv"
    write_fleet(path, vans=40, seed=3)
    table = pd.read_csv(path)
    level = table[LABEL].map({"low": 0, "usual": 1, "high": 2})
    assert level[table.slope_percent > 1].mean() > level[table.slope_percent < -1].mean() + 1
    slow = table.speed_km_h < 20  # where heating counts most
    assert level[slow & (table.outside_c < 2)].mean() > level[slow & (table.outside_c > 8)].mean()


def test_a_seed_means_the_same_rows_of_a_van_however_many_there_are(tmp_path):
    tables = []
    for number, (vans, seed) in enumerate(((2, 1), (3, 1), (2, 2))):
        write_fleet(tmp_path / f"{number}.csv", vans=vans, seed=seed)
        tables.append(pd.read_csv(tmp_path / f"{number}.csv"))
    few, more, other = tables
    assert few.equals(more[: len(few)]) and not few.equals(other)


def test_a_file_that_is_there_is_not_replaced(tmp_path):
    path = tmp_path / "vans.csv"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"vans\.csv is there already"):
        write_fleet(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("vans", [0, 1001])
def test_what_is_no_fleet_is_refused(tmp_path, vans):
    with pytest.raises(ConfigError, match="expected 1 to 1000"):
        write_fleet(tmp_path / "vans.csv", vans=vans)
