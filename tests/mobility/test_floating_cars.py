import gzip
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.errors import DataError
from eafl_flower.mobility.floating_cars import is_xml
from eafl_flower.mobility.reading import read_traces

EXAMPLE = Path(__file__).parents[2] / "examples" / "sumo_traffic.sh"
TOWN = Path(__file__).parent / "town_fcd.xml.gz"  # made by examples/sumo_traffic.sh
TWO = """<?xml version="1.0" encoding="UTF-8"?>
<!-- generated -->
<fcd-export>
    <timestep time="0.00">
        <vehicle id="a" x="1.00" y="2.00" speed="0.00" lane="x_0"/>
        <person id="p" x="9.00" y="9.00"/>
    </timestep>
    <timestep time="1.00">
        <vehicle id="b" x="5.00" y="6.00"/>
        <vehicle id="a" x="3.00" y="2.00"/>
    </timestep>
    <timestep time="2.00"/>
</fcd-export>
"""


def written(tmp_path, text, name="fcd.xml"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["fcd.xml", "fcd.xml.gz", "no_matter.txt"])
def test_vehicles_are_read_in_order_of_appearance(tmp_path, name):
    recording = read_traces(written(tmp_path, TWO, name))
    traces = recording.traces
    assert traces.names == ("a", "b")
    assert traces.time_s.tolist() == [0, 1, 1]
    assert traces.x_m.tolist() == [1, 3, 5]
    assert recording.plane is None


def test_longitudes_and_latitudes_become_metres(tmp_path):
    text = TWO.replace('x="1.00" y="2.00"', 'x="11.50000" y="48.10000"').replace(
        'x="3.00" y="2.00"', 'x="11.50010" y="48.10000"'
    )
    text = text.replace('x="5.00" y="6.00"', 'x="11.50010" y="48.10000"')
    recording = read_traces(written(tmp_path, text), geographic=True)
    assert recording.traces.at(1.0, [0])[0][0, 0] - recording.traces.at(0.0, [0])[0][0, 0] == pytest.approx(
        7.449, abs=0.01
    )
    assert recording.plane.latitude == 48.1


def test_a_simulated_town_is_read_and_nobody_is_faster_than_its_streets_allow():
    recording = read_traces(TOWN)
    traces = recording.traces
    assert len(traces) == 15
    assert recording.num_jumps == recording.num_repeats == 0
    _, present = traces.at(np.arange(0.0, 180.0)[:, None])
    assert present.sum() == recording.num_rows  # SUMO writes a row for each vehicle and second
    speed = np.hypot(*np.moveaxis(traces.velocity_m_s(np.arange(0.0, 180.0)[:, None]), -1, 0))
    assert speed.max() <= 1.2 * 13.89 + 0.02  # drivers exceed 13.89 m/s by up to 20 %; places have two decimals


def test_degrees_that_are_taken_for_metres_are_told(tmp_path):
    text = TWO.replace('x="1.00" y="2.00" speed="0.00"', 'x="11.50" y="48.10" speed="13.9"')
    text = text.replace('x="3.00" y="2.00"', 'x="11.51" y="48.10"').replace('x="5.00" y="6.00"', 'x="11.50" y="48.11"')
    with pytest.raises(DataError, match=r"up to 13\.9 m/s, and yet all places lie within 1 m.*--geographic"):
        read_traces(written(tmp_path, text))
    assert len(read_traces(written(tmp_path, text), geographic=True).traces) == 2


def test_the_example_makes_such_a_file(tmp_path):
    if shutil.which("netgenerate") is None:
        pytest.skip("needs SUMO: pip install 'eafl-flower[sumo]'")
    subprocess.run([EXAMPLE, tmp_path / "fcd.xml.gz"], check=True, capture_output=True)
    made, stored = (read_traces(path) for path in (tmp_path / "fcd.xml.gz", TOWN))
    assert len(made.traces) == len(stored.traces)


def test_what_is_xml_is_told_by_its_content(tmp_path):
    assert is_xml(TOWN)
    assert not is_xml(written(tmp_path, "vehicle,time,x,y\n", "table.xml"))


def test_a_document_cut_anywhere_says_that_its_end_is_missing(tmp_path):
    for end in range(TWO.index("<fcd-export>") + 15, TWO.index("</fcd-export>"), 7):
        with pytest.raises(DataError, match="the end of it is missing"):
            read_traces(written(tmp_path, TWO[:end]))


def test_compressed_data_cut_anywhere_say_so(tmp_path):
    whole = TOWN.read_bytes()
    for size in (30, len(whole) // 2, len(whole) - 3):
        path = tmp_path / "cut.xml.gz"
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="is truncated: the compressed data end early"):
            read_traces(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<fcd-export>", "<routes>", "is XML of 'routes', expected 'fcd-export'"),
        ('x="1.00"', 'x="here"', r"line 5: expected a number for x of vehicle, found 'here'"),
        ('x="1.00"', 'x="nan"', r"line 5: expected a number for x of vehicle, found 'nan'"),
        ('y="2.00" speed', "speed", r"line 5: expected a number for y of vehicle, found none"),
        ('time="1.00"', 'time="1,00"', r"line 8: expected a number for time of timestep, found '1,00'"),
        ('id="a" x="1.00"', 'x="1.00"', "line 5: a vehicle without id"),
        ("</timestep>", "</timestamp>", "is not well-formed XML: mismatched tag"),
        ('<timestep time="2.00"/>', '<vehicle id="c" x="0" y="0"/>', "line 12: a vehicle that is in no timestep"),
        ("<!-- generated -->", "<!DOCTYPE fcd-export [<!ENTITY a 'b'>]>", "declares an entity, 'a'"),
        ("<!-- generated -->", "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>", "declares an entity, 'a'"),
    ],
)
def test_what_sumo_cannot_have_written_is_told(tmp_path, old, new, message):
    with pytest.raises(DataError, match=message):
        read_traces(written(tmp_path, TWO.replace(old, new, 1)))


def test_no_vehicle_at_all_is_told(tmp_path):
    with pytest.raises(DataError, match="has no sample of a vehicle"):
        read_traces(written(tmp_path, "<fcd-export><timestep time='0'/></fcd-export>"))


def test_entities_that_stand_for_a_billion_laughs_do_no_harm(tmp_path):
    laughs = "".join(f"<!ENTITY l{k + 1} '{f'&l{k};' * 10}'>" for k in range(12))
    text = f"<!DOCTYPE fcd-export [<!ENTITY l0 'lol'>{laughs}]><fcd-export>&l12;</fcd-export>"
    start = time.process_time()
    with pytest.raises(DataError, match="declares an entity"):
        read_traces(written(tmp_path, text))
    assert time.process_time() - start < 5
