import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
TOWN = CHECKOUT / "tests" / "mobility" / "town_fcd.xml.gz"
LINE = "vehicle,time,x,y\na,0,0,0\na,100,1000,0\na,101,9e6,0\nb,0,500,400\n"


@pytest.fixture
def line(tmp_path):
    path = tmp_path / "line.csv"
    path.write_text(LINE)
    return str(path)


def test_the_lines_say_what_was_read_and_who_serves_whom(line, eafl):
    ended = eafl("mobility", line, "--unit", "0,0", "--unit", "1000,0", "--radius-m", "600", "--step-s", "1")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "2 vehicles, 4 rows; left out: 1 (25.00%) that would need more than 120 km/h, "
        "0 of a time that is there already",
        "100 s, from 0 s to 100 s; a sample every 100 s (median)",
        "x 0 to 1,000 m, y 0 to 400 m",
        "2 units where they were told to be, radius 600 m, hysteresis 25 m for 5 s, looked at every 1 s",
        "served: 99.0 % of the time that vehicles are there",
        "hand-overs: 1, 0.5 a vehicle, 0.594 a minute of service; 0.0 % go back at once",
        "a unit serves for 50.5 s (median; 10 %: 45.3 s, 90 %: 55.7 s); a border every 101 s",
    ]


def test_a_picture_is_drawn(eafl):
    ended = eafl("mobility", str(TOWN), "--grid", "2x2", "--radius-m", "250", "--step-s", "1", "--picture", "town.png")
    assert ended.code == 0
    assert ended.out.splitlines()[-1] == "Picture: town.png"
    assert Path("town.png").read_bytes().startswith(b"\x89PNG")


def test_the_scale_of_the_map_is_told_with_what_it_gives(eafl):
    given = ("--grid", "2x2", "--radius-m", "250", "--step-s", "1", "--round-s", "10", "--rounds-a-border", "4")
    ended = eafl("mobility", str(TOWN), *given)
    assert ended.code == 0
    assert "scale of the map: " in ended.out.splitlines()[-1]


def test_some_of_the_vehicles_can_be_taken(eafl):
    ended = eafl("mobility", str(TOWN), "--at-most", "5", "--units", "2")
    assert ended.out.splitlines()[0].startswith("15 vehicles, 1,142 rows")
    assert ended.out.splitlines()[1].startswith("the first 5 of them, ")


def test_columns_can_be_named(tmp_path, eafl):
    path = tmp_path / "own.csv"
    path.write_text("taxi,at,lon,lat\n1,2008-05-21 07:00:00,-122.41,37.78\n1,2008-05-21 07:01:00,-122.411,37.78\n")
    columns = ("--vehicle", "taxi", "--time", "at", "--x", "lon", "--y", "lat", "--geographic")
    ended = eafl("mobility", str(path), *columns, "--units", "1")
    assert ended.code == 0
    assert "from 2008-05-21 07:00:00 UTC to 2008-05-21 07:01:00 UTC" in ended.out
    assert "from 37.78000 N, -122.41050 E" in ended.out


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (("--units", "2", "--grid", "2x2"), 2, "units are placed by one of"),
        (("--grid", "2by2"), 2, "--grid: expected two numbers"),
        (("--unit", "1;2"), 2, "--unit: expected x and y in metres"),
        (("--vehicle", "vehicle"), 2, "give all four"),
        (("--unit", "nan,1"), 1, "error: units of shape (1, 2): expected (number, 2), at least one, with finite"),
        (("--unit", "0,9000"), 1, "error: no unit ever serves a vehicle: radius_m = 500"),
        (("--radius-m", "0"), 1, "error: HandoverRule: radius_m = 0.0: expected a number above 0"),
        (("--grid", "0x2"), 1, "error: a grid of 0 x 2 units: expected at least 1 x 1"),
        (("--fastest-km-h", "0"), 1, "error: fastest_m_s = 0.0: expected a positive number"),
        (("--units", "1", "--round-s", "-1"), 1, "error: round_s = -1.0"),
    ],
)
def test_what_is_wrong_is_one_clear_message(line, eafl, given, code, message):
    ended = eafl("mobility", line, *given)
    assert ended.code == code
    assert message in " ".join(ended.err.replace("│", " ").split())


def test_a_file_of_another_kind_is_told(tmp_path, eafl):
    path = tmp_path / "notes.csv"
    path.write_text("a,b\n1,2\n")
    ended = eafl("mobility", str(path))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"error: {path} has no column known for a vehicle, a time, a place: found a, b")


def test_the_program_of_the_page_runs():
    page = (CHECKOUT / "docs" / "mobility.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    names = {}
    exec(program.replace("cabs_2008-05-21.csv.gz", str(TOWN)), names)
    assert names["coverage"].serving(50.0).max() >= 0
    assert names["churn"].interval(0, 10.0)[0]


@pytest.mark.slow
def test_the_commands_of_the_page_that_need_no_data_of_others_run(tmp_path):
    """Those of docs/mobility.md on the town that lies in the repository."""
    page = (CHECKOUT / "docs" / "mobility.md").read_text()
    commands = [text for text in page.splitlines() if text.startswith("eafl mobility tests/")]
    assert commands
    for command in commands:
        arguments = command.split()[1:]
        arguments = [str(CHECKOUT / word) if word.startswith("tests/") else word for word in arguments]
        program = [sys.executable, "-m", "eafl_flower.cli.main", *arguments]
        subprocess.run(program, cwd=tmp_path, check=True, capture_output=True)
