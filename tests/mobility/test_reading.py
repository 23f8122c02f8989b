import doctest
import gzip

import numpy as np
import pytest

from eafl_flower.errors import ConfigError, DataError
from eafl_flower.mobility import plane
from eafl_flower.mobility.reading import read_traces
from eafl_flower.mobility.recordings import Limits
from eafl_flower.mobility.tables import TraceColumns

CABS = "cab,latitude,longitude,occupancy,time\n"
PLAIN = "vehicle,time,x,y\n"


def written(tmp_path, text, name="file.csv"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_the_examples_are_true():
    assert doctest.testmod(plane).failed == 0


@pytest.mark.parametrize("name", ["file.csv", "file.csv.gz"])
def test_rows_in_any_order_become_one_drive_for_each_vehicle(tmp_path, name):
    text = PLAIN + "b,20,200,0\na,0,0,0\nb,10,100,0\na,10,50,5\n"
    traces = read_traces(written(tmp_path, text, name)).traces
    assert traces.names == ("b", "a")
    assert traces.offsets.tolist() == [0, 2, 4]
    assert traces.time_s.tolist() == [10, 20, 0, 10]
    assert traces.x_m.tolist() == [100, 200, 0, 50]


def test_latitudes_and_longitudes_become_true_metres(tmp_path):
    # One second of arc to the north, to the east, at 37.78 degrees: by the radii of WGS84 there.
    text = (
        CABS + "a,37.78,-122.41,0,1211353200\na,37.78027778,-122.41,0,1211353260\na,37.78,-122.40972222,0,1211353320\n"
    )
    recording = read_traces(written(tmp_path, text))
    x_m, y_m = recording.traces.x_m, recording.traces.y_m
    squared = np.sin(np.radians(37.78)) ** 2
    north_m = 6_335_439.327 / (1 - 0.00669437999 * squared) ** 1.5 * np.radians(0.00027778)
    east_m = 6_378_137 / (1 - 0.00669437999 * squared) ** 0.5 * np.cos(np.radians(37.78)) * np.radians(0.00027778)
    assert y_m[1] - y_m[0] == pytest.approx(north_m, rel=1e-6)
    assert x_m[2] - x_m[0] == pytest.approx(east_m, rel=1e-6)
    assert (recording.plane.latitude, recording.plane.longitude) == (37.78, -122.41)


def test_times_in_iso_are_unix_seconds(tmp_path):
    text = PLAIN + "a,2008-05-21 07:00:27,0,0\na,2008-05-21T07:01:27Z,10,0\n"
    assert read_traces(written(tmp_path, text)).traces.time_s.tolist() == [1211353227, 1211353287]


def test_columns_of_another_name_are_named(tmp_path):
    path = written(tmp_path, "car,when,east,north\n1,0,3,4\n1,5,6,8\n")
    with pytest.raises(
        DataError, match=r"no column known for a vehicle, a time, a place: found car, when, east, north; name"
    ):
        read_traces(path)
    columns = TraceColumns(vehicle="car", time="when", x="east", y="north", geographic=False)
    assert read_traces(path, columns).traces.x_m.tolist() == [3, 6]


def test_feet_and_milliseconds_of_ngsim_become_metres_and_seconds(tmp_path):
    feet = "Vehicle_ID,Frame_ID,Global_Time,Local_X,Local_Y\n2,1,1118847866400,10,100\n2,2,1118847866500,10,105\n"
    wrong = feet.replace("Local_X,Local_Y", "local_x(m),local_y(m)").replace("10,100", "3.084,30.84")
    wrong = wrong.replace("10,105", "3.084,32.382")
    for text in (feet, wrong):
        traces = read_traces(written(tmp_path, text)).traces
        np.testing.assert_allclose(traces.time_s, [1118847866.4, 1118847866.5], rtol=1e-15)
        np.testing.assert_allclose(traces.y_m, [30.48, 32.004], rtol=1e-12)


def test_repeats_and_jumps_are_left_out_and_counted(tmp_path):
    rows = [f"a,{10 * k},{100 * k},0" for k in range(6)]
    rows[0] = "a,0,999999,0"  # a wild first point
    text = PLAIN + "\n".join([*rows, "a,30,77,0", "b,0,0,0"]) + "\n"
    recording = read_traces(written(tmp_path, text))
    assert (recording.num_rows, recording.num_repeats, recording.num_jumps) == (8, 1, 1)
    assert recording.traces.x_m.tolist() == [100, 200, 300, 400, 500, 0]


def test_how_fast_vehicles_go_is_an_argument(tmp_path):
    path = written(tmp_path, PLAIN + "a,0,0,0\na,1,50,0\n")
    assert read_traces(path).num_jumps == 1
    assert read_traces(path, limits=Limits(fastest_m_s=60)).num_jumps == 0
    with pytest.raises(ConfigError, match="fastest_m_s = 0: expected a positive number"):
        Limits(fastest_m_s=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (PLAIN, "has a header but no rows"),
        ("vehicle,time,x\na,0,1\n", "no column known for a place"),
        (PLAIN + "a,0,0,0\na,soon,1,1\n", r"line 3, column time: expected a number or a time .*found 'soon'"),
        (PLAIN + "a,0,zero,0\n", r"line 2, column x: expected a number, found 'zero'"),
        (PLAIN + "a,0,inf,0\n", r"line 2, column x: expected a number, found 'inf'"),
        (PLAIN + "a,inf,0,0\n", r"column time: expected a number or a time"),
        (PLAIN + "a,1211353227000,0,0\n", "are these milliseconds?"),
        (PLAIN + "a,0,0,1e300\n", "a position of 1e.300 is nowhere on Earth"),
        (PLAIN + ",0,0,0\n", "column vehicle: 1 cells are empty"),
        (CABS + "a,-122.41,37.78,0,0\n", "are the two exchanged"),
        (
            "Vehicle_ID,Global_Time,Local_X,Local_Y,Location\n1,0,0,0,us-101\n1,0,0,0,i-80\n",
            "several locations.*: us-101, i-80; keep the rows of one",
        ),
    ],
)
def test_a_table_that_cannot_be_read_says_what_is_wrong(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_traces(written(tmp_path, text))


def test_a_table_cut_short_says_so(tmp_path):
    path = written(tmp_path, PLAIN + "".join(f"a,{k},{k * 7 % 31},0\n" for k in range(3000)), "cut.csv.gz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="is truncated: the compressed data end early"):
        read_traces(path)


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(DataError, match=r"no file .*nowhere\.csv"):
        read_traces(tmp_path / "nowhere.csv")


def test_the_taxis_of_san_francisco_are_read(real_data):
    path = real_data / "cabspotting" / "cabs_2008-05-21.csv.gz"
    if not path.is_file():
        pytest.skip("needs cabspotting/cabs_2008-05-21.csv.gz in EAFL_DATA_DIR")
    recording = read_traces(path)
    traces = recording.traces
    assert len(traces) == 399
    assert recording.num_rows == 365_376
    assert len(traces.time_s) == recording.num_rows - recording.num_jumps - recording.num_repeats
    # The three wild points (latitudes 35.0 to 50.3) are gone: what is left lies around the bay.
    assert np.abs(traces.x_m).max() < 60e3
    assert np.abs(traces.y_m).max() < 90e3
    inside = np.ones(len(traces.time_s) - 1, bool)
    inside[traces.offsets[1:-1] - 1] = False
    speed = np.hypot(np.diff(traces.x_m), np.diff(traces.y_m))[inside] / np.diff(traces.time_s)[inside]
    assert speed.max() <= 120 / 3.6


def test_the_vehicles_of_ngsim_are_read(real_data):
    path = real_data / "ngsim" / "us101_trajectories_metric.csv.gz"
    recording = read_traces(path)
    assert len(recording.traces) == 296
    assert (recording.num_rows, recording.num_jumps) == (170_691, 0)
    assert recording.traces.end_s - recording.traces.start_s == pytest.approx(45 * 60, rel=0.01)
