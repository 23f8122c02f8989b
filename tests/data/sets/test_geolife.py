import gzip

import numpy as np
import pytest

from eafl_flower.data.sets.geolife import CLASS_NAMES, MIN_SEGMENTS, MIN_WINDOWS, load_geolife, read_windows
from eafl_flower.errors import ConfigError, DataError

HEADER = "user,latitude,longitude,altitude,date_time,label,segment,trajectory"
MODES = ("walk", "bike", "bus", "taxi", "train")


def clock(second):
    return f"2008-05-{1 + second // 86400:02}T".replace("T", " ") + str(np.datetime64(second % 86400, "s"))[11:]


def user_lines(user, *, segments=6, points=130, start=0, place=0.0, modes=MODES, altitude="-777"):
    """Points of a user, one every 2 s, whose speed depends on the mode."""
    lines, second = [], start
    for segment in range(segments):
        mode = modes[segment % len(modes)]
        for point in range(points):
            step = 1e-5 * (1 + segment % len(modes)) * point
            position = f"{39.9 + place + step:.6f},{116.3 + place + step:.6f}"
            lines.append(f"{user},{position},{altitude},{clock(second)},{mode},{segment},t{segment}")
            second += 2
        second += 3600
    return lines


def write(tmp_path, lines, name="geolife_labelled_points.csv"):
    path = tmp_path / name
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


@pytest.fixture
def table(tmp_path):
    return write(tmp_path, [line for user in range(5) for line in user_lines(f"{user:03}", place=0.1 * user)])


def test_each_user_is_a_client_and_a_quarter_of_the_segments_is_held_out(table):
    source = load_geolife(data_dir=table, unseen=1)
    assert (source.num_clients, source.num_seen, source.class_names) == (5, 4, CLASS_NAMES)
    for client in range(4):
        part = source.partition(client)
        # Six segments of 4 windows: round(6 / 4) are held out.
        assert (len(part.y_train), len(part.y_test)) == (16, 8)
    unseen = source.partition(4)
    assert (len(unseen.y_train), len(unseen.y_test)) == (4, 20)


def test_windows_of_a_segment_lie_on_one_side(table):
    windows = read_windows(table)
    for seed in range(3):
        source = load_geolife(data_dir=table, unseen=0, seed=seed)
        for client in range(5):
            part, own = source.partition(client), windows.user == client
            x = source.scaler.apply(windows.x[own])
            train = {row.tobytes() for row in part.x_train}
            for segment in np.unique(windows.segment[own]):
                sides = {row.tobytes() in train for row in x[windows.segment[own] == segment]}
                assert len(sides) == 1


def test_taxi_is_a_car_train_is_a_subway_and_rare_modes_are_left_out(tmp_path):
    lines = user_lines("1", modes=("taxi", "car", "train", "subway", "boat", "airplane"))
    windows = read_windows(write(tmp_path, lines))
    assert windows.y.tolist() == [3] * 8 + [4] * 8


def test_windows_with_a_point_of_an_earlier_user_are_dropped(tmp_path):
    first, copy, other = user_lines("a"), user_lines("b"), user_lines("c", place=1.0)
    copied = write(tmp_path, [*first, *copy[:10], *user_lines("b", place=2.0)[10:], *other])
    windows = read_windows(copied)
    shared = [int(windows.shared[windows.user == user].sum()) for user in range(3)]
    assert shared == [0, 1, 0]  # the ten points of b lie in one window
    assert sum(len(p.y_train) + len(p.y_test) for p in load_geolife(data_dir=copied).parts) == 3 * 24 - 1


def test_points_off_the_globe_and_unknown_altitudes_do_no_harm(tmp_path):
    plain = read_windows(write(tmp_path, user_lines("1", altitude="-777")))
    lines = user_lines("1", altitude="100")
    wild = lines[3].replace("39.9", "400.1", 1)
    wilder = read_windows(write(tmp_path, [*lines[:4], wild, *lines[4:]]))
    np.testing.assert_array_equal(plain.x, wilder.x)
    assert (plain.points_left_out, plain.notes, wilder.points_left_out) == (0, (), 1)
    assert "left out 1 point off the globe (line 6), expected latitudes to 90" in wilder.notes[0]
    far = [*lines[:4], lines[4].replace("39.9", "40.9", 1), *lines[5:]]
    (note,) = read_windows(write(tmp_path, far)).notes
    assert "2 steps faster than 100 m/s (to the points of lines 6, 7) count as 100 m/s; mend or delete" in note


def test_the_order_of_the_files_rows_does_not_matter(table, tmp_path):
    lines = table.read_text().splitlines()[1:]
    order = np.random.default_rng(0).permutation(len(lines))
    shuffled = read_windows(write(tmp_path, [lines[i] for i in order], "shuffled.csv"))
    np.testing.assert_array_equal(read_windows(table).x, shuffled.x)


def test_users_with_few_windows_or_segments_are_no_clients(tmp_path):
    assert (MIN_WINDOWS, MIN_SEGMENTS) == (20, 4)
    lines = [*user_lines("1"), *user_lines("2", segments=3, points=400), *user_lines("3", points=95)]
    source = load_geolife(data_dir=write(tmp_path, lines))
    assert (source.num_clients, source.clients_left_out) == (1, 2)
    assert any("left out 2 users of 3 without 20 windows in 4 segments" in note for note in source.notes)
    with pytest.raises(DataError, match="no user has 20 windows in 4 segments"):
        load_geolife(data_dir=write(tmp_path, user_lines("2", segments=3, points=400)))
    with pytest.raises(DataError, match=r"no segment has 30 consecutive points of walk, bike, .* in 20 to 600 s"):
        load_geolife(data_dir=write(tmp_path, user_lines("2", points=20)))


def test_the_split_is_a_function_of_the_seed(table):
    a, b, c = (load_geolife(data_dir=table, seed=seed) for seed in (1, 1, 2))
    for client in range(5):
        np.testing.assert_array_equal(a.partition(client).x_test, b.partition(client).x_test)
    assert any(
        a.partition(i).x_test.shape != c.partition(i).x_test.shape
        or not np.array_equal(a.partition(i).x_test, c.partition(i).x_test)
        for i in range(5)
    )
    with pytest.raises(ConfigError, match=r"data\.clients = 6: the data set has 5"):
        load_geolife(data_dir=table, clients=6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("walk", "hover", r"line 2, column label: 'hover' is none of walk, bike, bus, car, taxi"),
        ("00:00:00", "25:00:00", r"line 2, column date_time: expected a time as in 2008-05-21 14:30:00, found"),
        ("39.900000", "north", r"line 2, column latitude: expected a number, found 'north'"),
        (",0,t0", ",1.5,t0", r"line 2, column segment: expected a whole number of at most 15 digits, found 1\.5"),
        (",0,t0", ",1e300,t0", r"line 2, column segment: expected a whole number of at most 15 digits, found 1e\+300"),
        ("longitude", "lng", r"has no column longitude: found user, latitude, lng"),
    ],
)
def test_wrong_cells_are_named_by_line_and_column(tmp_path, old, new, message):
    path = write(tmp_path, user_lines("1"))
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        load_geolife(data_dir=path)


def test_a_truncated_file_is_a_data_error(table, tmp_path):
    whole = gzip.compress(table.read_bytes())
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is truncated"):
        load_geolife(data_dir=path)


@pytest.mark.slow
def test_the_real_table_has_the_documented_windows_and_users(real_data):
    windows = read_windows(real_data / "geolife" / "geolife_labelled_points.csv.gz")
    assert len(windows.y) == 15_217
    assert len(np.unique(windows.user)) == 42
    assert np.isfinite(windows.x).all()
    source = load_geolife(data_dir=real_data)
    assert (source.num_clients, source.num_seen) == (27, 22)
    assert sum(len(p.y_train) + len(p.y_test) for p in source.parts) == 14_477
