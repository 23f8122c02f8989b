import numpy as np
import pytest

from eafl_flower.data.sets.ton_iot import CLASS_NAMES, load_ton_weather
from eafl_flower.errors import ConfigError, DataError


def readings(tmp_path, *, runs=16, rows=200, name="Train_Test_IoT_Weather.csv", types=CLASS_NAMES):
    """Runs of equal type in turn; ``temperature`` is the number of the row."""
    lines = ["date,time,temperature,pressure,humidity,label,type"]
    for run in range(runs):
        kind = types[run % len(types)]
        blank = " " if kind == "normal" else ""
        for row in range(rows):
            lines.append(f"25-Apr-19,{blank}1:00:00,{run * rows + row},{run},1,{int(kind != 'normal')},{kind}{blank}")
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(source, client, side):
    """Row numbers of the file, read back from the first feature."""
    x = getattr(source.partition(client), side)[:, 0].astype(np.float64)
    return np.round(x * source.scaler.scale[0] + source.scaler.mean[0]).astype(int)


def load(path, **options):
    return load_ton_weather(**{"data_dir": path, "clients": 5, "unseen": 1, "dirichlet_alpha": 5.0, **options})


@pytest.mark.parametrize("partition", ["dirichlet", "contiguous"])
def test_the_last_quarter_of_each_run_is_held_out_from_everybody(tmp_path, partition):
    source = load(readings(tmp_path), partition=partition)
    train = np.concatenate([rows_of(source, i, "x_train") for i in range(5)])
    test = np.concatenate([rows_of(source, i, "x_test") for i in range(5)])
    assert (train % 200).max() < 150 <= (test % 200).min()
    assert sorted(test) == [row for row in range(3200) if row % 200 >= 150]
    assert len(set(train)) == len(train)


def test_clock_and_label_are_no_features_and_blanks_do_not_matter(tmp_path):
    source = load(readings(tmp_path))
    assert source.feature_names == ("temperature", "pressure", "humidity")
    assert source.class_names == CLASS_NAMES and len(CLASS_NAMES) == 8


def test_a_client_has_the_same_share_of_a_type_on_both_sides(tmp_path):
    source = load(readings(tmp_path, runs=8, rows=2000), unseen=0)
    for client in range(5):
        part = source.partition(client)
        counts = [np.bincount(y, minlength=8) for y in (part.y_train, part.y_test)]
        # Three quarters against one; shares of 1,500 and 500 rows, rounded.
        np.testing.assert_allclose(counts[0], 3 * counts[1], atol=4)


def test_an_unseen_client_fits_its_head_on_a_quarter_of_its_rows(tmp_path):
    path = readings(tmp_path)
    everybody = load(path, unseen=0).partition(4)
    part = load(path).partition(4)
    assert len(part.y_train) == round((len(everybody.y_train) + len(everybody.y_test)) / 4)
    assert len(part.y_test) == len(everybody.y_test)
    # Drawn from all its types, not the first ones of the file.
    assert set(part.y_train) == set(everybody.y_train)


def test_contiguous_clients_own_stretches_and_few_types(tmp_path):
    source = load(readings(tmp_path, runs=8), clients=4, unseen=0, partition="contiguous")
    for client in range(4):
        assert np.ptp(rows_of(source, client, "x_train")) < 400
        assert len(set(source.partition(client).y_train)) == 2


def test_wrong_files_and_counts_say_what_is_wrong(tmp_path):
    with pytest.raises(DataError, match=r"lines 2, 3, 4 and .* more, column type: 'dos' is none of backdoor, ddos"):
        load(readings(tmp_path, types=("dos",)))
    path = tmp_path / "Train_Test_IoT_Fridge.csv"
    path.write_text("date,time,fridge_temperature,temp_condition,label,type\n25-Apr-19,1:00,9,high,1,ddos\n")
    with pytest.raises(DataError, match=r"has no column temperature, pressure, humidity: found date, time, fridge_"):
        load(path)
    small = readings(tmp_path, runs=8, rows=20)
    with pytest.raises(ConfigError, match=r"200 draws left a client with fewer than 40 of 120 training rows or 10 of"):
        load(small)
    with pytest.raises(ConfigError, match=r"data\.partition = 'contiguous': a client would have fewer than 40 of 120"):
        load(small, partition="contiguous")


def test_the_real_weather_station_has_eight_types_on_twenty_clients(real_data):
    source = load_ton_weather(data_dir=real_data)
    assert (source.num_clients, source.num_seen) == (20, 16)
    everybody = load_ton_weather(data_dir=real_data, unseen=0)
    rows = sum(len(p.y_train) + len(p.y_test) for p in everybody.parts)
    assert rows == 31_408
    assert len(np.unique(np.concatenate([p.y_test for p in everybody.parts]))) == 8
    assert sum(len(p.y_test) for p in everybody.parts) == pytest.approx(rows / 4, abs=40)
