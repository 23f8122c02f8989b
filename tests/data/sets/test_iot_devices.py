import numpy as np
import pytest

from eafl_flower.data.sets.iot_devices import CLASS_NAMES, NOT_SCORED, load_iot_devices
from eafl_flower.errors import ConfigError, DataError

FEATURES = ("ack", "bytes", "constant", "rank")


def write(path, *, rows=40, kinds=CLASS_NAMES, constant=0, seed=0, features=FEATURES):
    rng = np.random.default_rng(seed)
    lines = [",".join((*features, "device_category"))]
    for kind in kinds:
        for _ in range(rows):
            cells = [rng.integers(1, 100), int(rng.lognormal(8, 3)), constant, rng.choice([5, 2147483647])]
            lines.append(",".join([*map(str, cells[: len(features)]), kind]))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "iot_device_train.csv")
    write(tmp_path / "iot_device_test.csv", constant=7, seed=1)
    return tmp_path


def load(folder, **options):
    return load_iot_devices(**{"data_dir": folder, "clients": 5, "unseen": 1, "dirichlet_alpha": 5.0, **options})


def test_training_and_test_rows_keep_to_their_files_and_water_sensors_are_not_scored(folder):
    source = load(folder, unseen=0)
    train = np.concatenate([p.y_train for p in source.parts])
    test = np.concatenate([p.y_test for p in source.parts])
    assert np.bincount(train).tolist() == [40] * 10
    assert np.bincount(test, minlength=10).tolist() == [40] * 9 + [0]
    assert CLASS_NAMES[9] == NOT_SCORED
    assert source.notes == ("left out 40 rows of water_sensor, which is not scored",)
    assert source.rows_left_out == 40


def test_the_test_file_is_split_in_the_proportions_of_the_training_file(folder):
    source = load(folder, unseen=0)
    for part in source.parts:
        train, test = (np.bincount(y, minlength=10)[:9] for y in (part.y_train, part.y_test))
        np.testing.assert_allclose(train, test, atol=1)


def test_what_is_constant_in_training_is_zero_in_the_test_rows_too(folder):
    column = FEATURES.index("constant")
    source = load(folder)
    assert all((p.x_test[:, column] == 0).all() and np.isfinite(p.x_test).all() for p in source.parts)


def test_an_unseen_client_fits_its_head_on_a_quarter_of_its_rows(folder):
    whole, part = load(folder, unseen=0).partition(4), load(folder).partition(4)
    assert len(part.y_train) == round((len(whole.y_train) + len(whole.y_test)) / 4)
    assert len(part.y_test) == len(whole.y_test)


def test_wrong_folders_and_files_are_data_errors(folder, tmp_path):
    with pytest.raises(DataError, match=r"iot_device_train\.csv is a file; expected the folder"):
        load(folder / "iot_device_train.csv")
    write(folder / "iot_device_test.csv", features=FEATURES[:2])
    with pytest.raises(DataError, match=r"iot_device_test\.csv has no column constant, rank: found ack, bytes"):
        load(folder)
    write(folder / "iot_device_test.csv", kinds=("toaster",))
    with pytest.raises(
        DataError, match=r"lines 2, 3, 4 and 37 more, column device_category: 'toaster' is none of TV, baby_monitor"
    ):
        load(folder)
    (folder / "iot_device_test.csv").unlink()
    with pytest.raises(DataError, match=r"no file iot_device_id/iot_device_test\.csv\.gz .*IoT device identification"):
        load(folder)


def test_a_client_without_scored_rows_is_refused(folder):
    with pytest.raises(
        ConfigError, match=r"a client would have fewer than 8 of 400 training rows or 8 of 360 held out"
    ):
        load(folder, clients=10, partition="contiguous")


def test_the_real_files_are_shared_by_twenty_clients(real_data):
    source = load_iot_devices(data_dir=real_data)
    assert (source.num_clients, source.num_seen, len(source.feature_names)) == (20, 16, 297)
    assert sum(len(p.y_test) for p in source.parts) == 720
    assert sum(len(p.y_train) for p in load_iot_devices(data_dir=real_data, unseen=0).parts) == 800
    # 137 columns are constant in the training file.
    assert (source.scaler.scale == 0).sum() >= 137
