import doctest
import gzip
from itertools import islice

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.sets import car_following, geolife, iot_devices, ngsim, trips
from eafl_flower.data.sets.digits import load_digits
from eafl_flower.data.sets.geolife import load_geolife
from eafl_flower.data.sets.input_rows import read_input_rows
from eafl_flower.data.sets.iot_devices import load_iot_devices
from eafl_flower.data.sets.ngsim import FILE, load_ngsim_us101, read_tracks
from eafl_flower.data.sets.own_csv import load_csv
from eafl_flower.data.sets.unsw_nb15 import FILE as UNSW_FILE
from eafl_flower.data.sets.unsw_nb15 import load_unsw_nb15
from eafl_flower.data.tables import columns, files, lines
from eafl_flower.data.tables.files import find, read_text
from eafl_flower.errors import DataError


def read(path, source, **options):
    names = {"feature_names": source.feature_names, "class_names": source.class_names}
    names["columns"] = getattr(source, "columns", ())
    return read_input_rows(path, data=source.name, **names, **options)


def write(path, header, rows):
    path.write_text("\n".join([",".join(header), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def assert_holds_all_rows(found, source, *, client):
    """The rows of a client are among those of the file the source was loaded from, with their class."""
    x = source.scaler.apply(found.x)
    labels = {}
    for row, label in zip(x, found.labels, strict=True):
        labels.setdefault(row.tobytes(), set()).add(int(label))
    part = source.partition(client)
    for row, label in zip(np.concatenate([part.x_train, part.x_test]), [*part.y_train, *part.y_test], strict=True):
        assert label in labels[row.tobytes()]


class ToyTable:
    name = "toy"
    feature_names = ("a", "b")
    class_names = ("no", "yes")


def test_features_are_found_by_name_in_any_order_beside_other_columns(tmp_path):
    path = write(tmp_path / "x.csv", ("b", "note", "y", "a"), [(1, "x", "yes", 2), (3, "", "no", 4)])
    found = read(path, ToyTable, label="y")
    assert found.x.tolist() == [[2, 1], [4, 3]]
    assert (found.numbers.tolist(), found.labels.tolist()) == ([1, 2], [1, 0])
    assert read(path, ToyTable).labels is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has a header but no rows"),
        ([(1, "x", "no")], r"line 2, column b: expected a number, found 'x'"),
        ([(1, 2, "no"), (1, 2, "maybe")], r"line 3, column y: 'maybe' is none of no, yes"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_with_their_place(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "x.csv", ("a", "b", "y"), rows), ToyTable, label="y")


def test_a_logarithm_is_not_taken_for_what_it_is_the_logarithm_of(tmp_path):
    class Flows(ToyTable):
        name = "unsw-nb15"
        feature_names = ("dur", "proto=tcp", "proto=other")

    path = write(tmp_path / "x.csv", Flows.feature_names, [(1, 0, 1)])
    with pytest.raises(DataError, match=r"has no column tcprtt, synack, .*: expected dur, tcprtt"):
        read(path, Flows)


def test_sessions_are_read_as_the_publisher_has_them(tmp_path):
    class Sessions(ToyTable):
        name = "iot-devices"

    found = read(write(tmp_path / "x.csv", ("a", "b"), [(0, np.e - 1)]), Sessions)
    np.testing.assert_allclose(found.x, [[0, 1]])


def test_a_table_of_ones_own_is_read_as_it_was_for_training(tmp_path):
    rng = generator(1, "table")
    values = (rng.normal(size=200), rng.choice(["city", "rural", "sea", "other"], 200), rng.random(200) < 0.5)
    rows = [(*row, "ab"[i % 2]) for i, row in enumerate(zip(*values, strict=True))]
    path = write(tmp_path / "x.csv", ("speed", "road", "wet", "y"), rows)
    source = load_csv(path, label="y", features=("speed", "road", "wet"), clients=4, unseen=1)
    assert_holds_all_rows(read(path, source, label="y"), source, client=1)
    sparse = write(tmp_path / "z.csv", ("wet", "road", "speed"), [("True", "moon", 1), ("False", "sea", "fast")])
    with pytest.raises(DataError, match="line 3, column speed: expected a number, found 'fast'"):
        read(sparse, source)
    found = read(write(sparse, ("wet", "road", "speed"), [(1, "moon", 2)]), source)
    by_name = dict(zip(source.feature_names, found.x[0], strict=True))
    assert (by_name["speed"], by_name["wet"], by_name["road=sea"]) == (2, 1, 0)
    assert found.x[0].sum() == 4  # and one of the others
    with pytest.raises(DataError, match="has no column road, wet: expected speed, road, wet"):
        read(write(tmp_path / "w.csv", ("speed",), [(1,)]), source)


def test_names_and_words_of_a_table_may_hold_the_signs_that_features_are_named_with(tmp_path):
    rows = [(i % 7, i % 2, "pq"[i % 2], ("other", "x=y")[i % 3 == 0], "ab"[i % 5 == 0]) for i in range(200)]
    path = write(tmp_path / "x.csv", ("road=city", "road=other", "road=x", "road", "y"), rows)
    source = load_csv(path, label="y", features=("road=city", "road=other", "road=x", "road"), clients=2, unseen=1)
    assert len(source.feature_names) == 2 + 3 + 3
    assert_holds_all_rows(read(path, source, label="y"), source, client=0)
    with pytest.raises(DataError, match=r"has no column road=x: expected road=city, road=other, road=x, road$"):
        read(write(tmp_path / "z.csv", ("road=city", "road=other", "road", "road=p"), [(1, 1, "x=y", 1)]), source)


@pytest.mark.parametrize("module", [ngsim, columns, car_following, lines, files])
def test_the_examples_are_true(module):
    assert doctest.testmod(module).failed == 0


def points(trip, start_s, step_s=2):
    return [
        (f"2008-05-21 14:{(start_s + step_s * i) // 60:02d}:{(start_s + step_s * i) % 60:02d}", 40, 116 + i / 1e4, trip)
        for i in range(trips.THRESHOLDS.window_points)
    ]


def test_a_window_is_classified_at_its_last_point(tmp_path):
    class Trips(ToyTable):
        name = "geolife"
        feature_names = trips.FEATURE_NAMES
        class_names = geolife.CLASS_NAMES

    header = ("date_time", "latitude", "longitude", "trajectory")
    first, second = points("x", 0), points("y", 30)
    mixed = [row for pair in zip(first, second, strict=True) for row in pair]
    found = read(write(tmp_path / "x.csv", header, mixed), Trips)
    assert found.numbers.tolist() == [59, 60]
    np.testing.assert_allclose(found.x[0], found.x[1])
    labelled = [(*row, mode) for row, mode in zip(first, ["walk"] * 29 + ["taxi"], strict=True)]
    found = read(write(tmp_path / "x.csv", (*header, "mode"), labelled), Trips, label="mode")
    assert found.labels.tolist() == [geolife.MODES["taxi"]]
    flown = [(*row, "airplane") for row in first]
    assert read(write(tmp_path / "x.csv", (*header, "mode"), flown), Trips, label="mode").labels.tolist() == [-1]
    with pytest.raises(DataError, match="no trip has 30 consecutive points in 20 to 600 s"):
        read(write(tmp_path / "x.csv", header, first[:29]), Trips)


def test_digits_have_pixels_as_the_images_have_them(tmp_path):
    datasets = pytest.importorskip("sklearn.datasets")
    images, digits = datasets.load_digits(return_X_y=True)
    source = load_digits(clients=5)
    rows = [(*image, digit) for image, digit in zip(images, digits, strict=True)]
    found = read(write(tmp_path / "x.csv", (*source.feature_names, "digit"), rows), source, label="digit")
    assert_holds_all_rows(found, source, client=2)


def test_recorded_flows_become_the_rows_the_model_was_trained_on(real_data):
    source = load_unsw_nb15(data_dir=real_data)
    found = read(find(UNSW_FILE, real_data), source, label="attack_cat")
    for client in (0, source.num_clients - 1):
        assert_holds_all_rows(found, source, client=client)


def test_recorded_sessions_become_the_rows_the_model_is_scored_on(real_data):
    source = load_iot_devices(data_dir=real_data)
    found = read(find(iot_devices.TEST_FILE, real_data), source, label=iot_devices.LABEL)
    part = source.partition(0)
    known = {row.tobytes() for row in source.scaler.apply(found.x)}
    assert {row.tobytes() for row in part.x_test} <= known


def test_a_recorded_drive_becomes_the_rows_the_model_was_trained_on(real_data, tmp_path):
    source = load_ngsim_us101(data_dir=real_data, clients=40, unseen=8)
    path = find(FILE, real_data)
    part = source.partition(3)
    for track in read_tracks(path).tracks:
        frames = car_following.row_frames(len(track.rows))
        x = source.scaler.apply(car_following.features(track.speed_m_s, track.headway_m, frames))
        if np.array_equal(x[-len(part.x_test) :], part.x_test):
            break
    else:
        pytest.fail("the file has no drive of this client")
    own = tmp_path / "own.csv"
    read_text(path).iloc[track.rows].to_csv(own, index=False)
    found = read(own, source)
    assert found.numbers.tolist() == list(range(31, len(track.rows) + 1))
    np.testing.assert_array_equal(source.scaler.apply(found.x[frames - 30]), x)


@pytest.mark.parametrize("name", ["idm", "ngsim-us101"])
def test_a_drive_with_a_speed_that_no_vehicle_has_is_refused_with_its_lines(tmp_path, name):
    class Driving(ToyTable):
        feature_names = car_following.FEATURE_NAMES

    Driving.name = name
    drive = [[10.0, 20.0] for _ in range(50)]
    drive[7][0] = drive[9][0] = 1e4
    path = write(tmp_path / "d.csv", ("speed_m_s", "headway_m"), drive)
    with pytest.raises(DataError, match=r"lines 9, 11: speed 10000 m/s with headway 20 m, expected .*; mend it or cut"):
        read(path, Driving)


def test_a_table_of_ones_own_may_be_written_as_it_was_for_training_and_in_no_other_unit(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(f"v{i % 5}", f"{rng.integers(5, 99)} km/h", "ab"[i % 2]) for i in range(100)]
    source = load_csv(write(tmp_path / "t.csv", ("id", "speed", "kind"), rows), label="kind", client="id")
    assert [column.unit for column in source.columns] == ["km/h"]
    new = write(tmp_path / "new.csv", ("speed", "kind"), [("22 km/h", "A"), ("31 km/h", "b")])
    found = read(new, source, label="kind")
    assert (found.x.tolist(), found.labels.tolist()) == ([[22.0], [31.0]], [0, 1])
    assert len(found.notes) == 2 and "km/h" in found.notes[0] and "'A' (1) as 'a'" in found.notes[1]
    assert read(write(tmp_path / "plain.csv", ("speed",), [(22,)]), source).notes == ()
    with pytest.raises(DataError, match="line 2, column speed: '22 mph' is not in km/h"):
        read(write(tmp_path / "mph.csv", ("speed",), [("22 mph",)]), source)


def test_a_drive_has_the_features_of_the_same_drive_in_the_publishers_table(tmp_path):
    class Driving(ToyTable):
        feature_names = car_following.FEATURE_NAMES
        class_names = car_following.CLASS_NAMES

    frames = np.arange(60)
    speed, headway = (
        10 + np.sin(frames / 9),
        np.where(frames < 20, 0.0, 5.0 * frames - 90),
    )  # no leader; then one leaves
    table = [(1, 100 * i, v / 0.3048, h / 0.3048) for i, v, h in zip(frames, speed, headway, strict=True)]
    published = write(tmp_path / "p.csv", ("Vehicle_ID", "Global_Time", "v_Vel", "Space_Headway"), table)
    own = write(tmp_path / "d.csv", ("speed_m_s", "headway_m"), zip(speed, headway, strict=True))
    Driving.name = "ngsim-us101"
    expected = read(published, Driving)
    np.testing.assert_allclose(read(own, Driving).x, expected.x, atol=1e-9)
    Driving.name = "idm"  # generated traffic has a leader always
    assert np.abs(read(own, Driving).x - expected.x).max() > 50


def test_recorded_trips_become_the_windows_the_model_was_trained_on(real_data, tmp_path):
    path = tmp_path / "first_users.csv"
    with gzip.open(find(geolife.FILE, real_data), "rt") as file:
        path.write_text("".join(islice(file, 60_000)))
    source = load_geolife(data_dir=path)
    found = read(path, source)
    assert len(found.numbers) == len(np.unique(found.numbers))
    known = {row.tobytes() for row in source.scaler.apply(found.x)}
    for client in range(source.num_clients):
        part = source.partition(client)
        assert {row.tobytes() for row in np.concatenate([part.x_train, part.x_test])} <= known
