import gzip

import numpy as np
import pytest

from eafl_flower.data.leaks.check import check_file
from eafl_flower.data.sets import car_following
from eafl_flower.data.sets.ngsim import FILE, MIN_ROWS, NO_LEADER_M, load_ngsim_us101, read_tracks
from eafl_flower.data.tables.files import find
from eafl_flower.errors import DataError

FRAMES = car_following.GAP_FRAMES + 10 * MIN_ROWS + 10


def tracks_text(vehicles=5, *, feet=False, frames=FRAMES, start_ms=0):
    """A file of vehicles at 10 m/s, 20 m apart, in the spelling of the copy in metres or of the publisher."""
    unit = 1 / 0.3048 if feet else 0.3084 / 0.3048
    names = ("v_Vel", "Space_Headway") if feet else ("v_Vel(m)", "Space_Headway(m)")
    lines = [",".join(("Vehicle_ID", "Frame_ID", "Global_Time", *names, "Time_Headway"))]
    for vehicle in range(vehicles):
        for frame in range(frames):
            speed = 10 + 3 * np.sin(frame / 20 + vehicle)
            lines.append(f"{vehicle},{frame},{start_ms + 100 * frame},{speed * unit:.9f},{20 * unit:.9f},9999.99")
    return "\n".join(lines) + "\n"


def write(tmp_path, text):
    path = tmp_path / "us101_trajectories_metric.csv"
    path.write_text(text)
    return path


def test_both_spellings_give_the_same_metres(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "f").mkdir()
    metric = read_tracks(write(tmp_path / "m", tracks_text())).tracks
    feet = read_tracks(write(tmp_path / "f", tracks_text(feet=True))).tracks
    assert len(metric) == len(feet) == 5
    frame = np.arange(FRAMES)
    for number, (a, b) in enumerate(zip(metric, feet, strict=True)):
        np.testing.assert_allclose(a.speed_m_s, 10 + 3 * np.sin(frame / 20 + number), rtol=1e-8)
        np.testing.assert_allclose(a.headway_m, 20, rtol=1e-8)
        np.testing.assert_allclose(a.speed_m_s, b.speed_m_s, rtol=1e-8)


def test_no_leader_and_a_leader_out_of_reach_are_a_hundred_metres(tmp_path):
    header = "Vehicle_ID,Global_Time,v_Vel(m),Space_Headway(m)\n"
    path = write(tmp_path, header + "1,0,5,0\n1,100,5,150\n1,200,5,30.84\n")
    np.testing.assert_allclose(read_tracks(path).tracks[0].headway_m, [NO_LEADER_M, NO_LEADER_M, 30.48])


def test_a_jump_in_time_starts_another_track_and_repeated_rows_count_once(tmp_path):
    header = "Vehicle_ID,Global_Time,v_Vel,Space_Headway\n"
    path = write(tmp_path, header + "7,900100,1,1\n7,0,1,1\n7,100,1,1\n7,100,1,1\n7,900000,1,1\n8,200,1,1\n")
    tracks = read_tracks(path).tracks
    assert [(t.vehicle, len(t.speed_m_s)) for t in tracks] == [(7, 2), (7, 2), (8, 1)]
    assert tracks[1].rows.tolist() == [4, 0]


def test_other_places_of_the_publishers_table_are_left_out(tmp_path):
    header = "Vehicle_ID,Global_Time,v_Vel,Space_Headway,Location\n"
    path = write(tmp_path, header + "1,0,5,5,us-101\n2,0,5,5,peachtree\n")
    assert [t.vehicle for t in read_tracks(path).tracks] == [1]
    path = write(tmp_path, header + "2,0,5,5,peachtree\n")
    with pytest.raises(DataError, match=r"no row with Location us-101; expected NGSIM US-101 .*published at https"):
        read_tracks(path)


@pytest.mark.parametrize("column", [3, 4])
@pytest.mark.parametrize("cell", ["9999.99", "-50", "1e30"])
def test_rows_that_no_vehicle_can_give_are_left_out_with_their_lines_and_end_the_track(tmp_path, column, cell):
    lines = tracks_text(2, frames=2 * FRAMES + 1).splitlines()
    cells = lines[1 + FRAMES].split(",")
    cells[column] = cell
    lines[1 + FRAMES] = ",".join(cells)
    path = write(tmp_path, "\n".join(lines) + "\n")
    recorded = read_tracks(path)
    assert [(t.vehicle, len(t.rows)) for t in recorded.tracks] == [(0, FRAMES), (0, FRAMES), (1, 2 * FRAMES + 1)]
    source = load_ngsim_us101(data_dir=path, unseen=1)
    assert (source.num_clients, source.clients_left_out, source.rows_left_out) == (3, 0, 1)
    (note,) = source.notes
    assert f"left out 1 row that no vehicle can give (line {2 + FRAMES}), expected speeds from -1 to 70 m/s" in note
    assert check_file(path).notes == source.notes


def test_a_table_in_another_unit_is_refused(tmp_path):
    path = write(tmp_path, tracks_text().replace(",20.", ",20000."))
    with pytest.raises(DataError, match=r"no row is possible, expected speeds from .* are they in another unit"):
        read_tracks(path)


def test_what_else_is_left_out_is_told_once_with_its_count(tmp_path):
    lines = tracks_text(3).splitlines()
    path = write(tmp_path, "\n".join([*lines, lines[-1], *(f"9,{i},{100 * i},5,5,0" for i in range(30))]) + "\n")
    source = load_ngsim_us101(data_dir=path, unseen=1)
    assert (source.num_clients, source.clients_left_out, source.rows_left_out) == (3, 1, 31)
    assert [note.partition(": ")[2] for note in source.notes] == [
        "left out 1 row with the vehicle and time of another",
        "left out 1 track shorter than 22 s without a gap",
    ]


def test_no_frame_is_used_on_both_sides_of_a_split(tmp_path):
    source = load_ngsim_us101(data_dir=write(tmp_path, tracks_text()), unseen=1)
    assert (source.num_clients, source.num_seen) == (5, 4)
    frames = car_following.row_frames(FRAMES)
    for client in range(5):
        part = source.partition(client)
        last_trained, first_tested = frames[len(part.y_train) - 1], frames[-len(part.y_test)]
        assert last_trained + car_following.AHEAD_FRAMES < first_tested - car_following.PAST_FRAMES


def test_too_short_tracks_and_missing_columns_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="no vehicle is recorded for 22 s at 10 Hz without a gap"):
        load_ngsim_us101(data_dir=write(tmp_path, tracks_text(frames=50)))
    with pytest.raises(DataError, match=r"has no column Vehicle_ID, .*published at https://data\.transportation\.gov"):
        load_ngsim_us101(data_dir=write(tmp_path, "a,b\n1,2\n"))


def test_compressed_and_plain_files_are_the_same(tmp_path):
    plain = load_ngsim_us101(data_dir=write(tmp_path, tracks_text(2)), unseen=0)
    (tmp_path / "us101_trajectories_metric.csv.gz").write_bytes(gzip.compress(tracks_text(2).encode()))
    packed = load_ngsim_us101(data_dir=tmp_path, unseen=0)
    np.testing.assert_array_equal(plain.partition(1).x_test, packed.partition(1).x_test)


def test_the_real_file_has_the_documented_rows_and_vehicles(real_data):
    recorded = read_tracks(find(FILE, real_data))
    tracks = recorded.tracks
    assert (recorded.rows_left_out, recorded.notes) == (0, ())
    assert len(tracks) == 296
    assert sum(len(car_following.row_frames(len(t.speed_m_s))) for t in tracks) == 15_425
    assert all(t.speed_m_s.min() >= 0 and t.headway_m.max() <= NO_LEADER_M for t in tracks)
    # US-101 was limited to 65 mph (29 m/s) and crowded.
    assert max(t.speed_m_s.max() for t in tracks) < 32


def test_a_fifth_of_the_real_vehicles_is_unseen_and_the_seed_decides_which(real_data):
    first, again, other = (load_ngsim_us101(data_dir=real_data, seed=seed) for seed in (1, 1, 2))
    assert (first.num_clients, first.num_seen) == (296, 237)
    np.testing.assert_array_equal(first.partition(295).x_test, again.partition(295).x_test)
    assert first.partition(295).x_test.shape != other.partition(295).x_test.shape or not np.array_equal(
        first.partition(295).x_test, other.partition(295).x_test
    )
    few = load_ngsim_us101(data_dir=real_data, clients=10, unseen=2)
    assert (few.num_clients, few.num_seen) == (10, 8)
