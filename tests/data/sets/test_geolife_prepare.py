import shutil
import zipfile
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from eafl_flower.data.sets.geolife import load_geolife
from eafl_flower.data.sets.geolife_prepare import COLUMNS, prepare_geolife, read_labels, segment_of
from eafl_flower.errors import DataError

PLT_HEADER = (
    "Geolife trajectory\r\nWGS 84\r\nAltitude is in Feet\r\nReserved 3\r\n0,2,255,My Track,0,0,2,8421376\r\n0\r\n"
)
LABELS_HEADER = "Start Time\tEnd Time\tTransportation Mode\r\n"


def point(second, latitude=39.9):
    time = str(np.datetime64("2008-05-01T00:00:00") + second).split("T")
    return f"{latitude},116.33035,0,-777,39201.3,{time[0]},{time[1]}\r\n"


def interval(start, end, mode):
    times = [str(np.datetime64("2008-05-01T00:00:00") + s).replace("-", "/").replace("T", " ") for s in (start, end)]
    return "\t".join([*times, mode]) + "\r\n"


@pytest.fixture
def folder(tmp_path):
    """Two users with labels, one without, in the publisher's layout."""
    root = tmp_path / "Geolife Trajectories 1.3" / "Data"
    for user in ("010", "020", "030"):
        (root / user / "Trajectory").mkdir(parents=True)
        for name, start in (("20080501000000", 0), ("20080501010000", 3600)):
            points = "".join(point(start + 5 * i, 39 + int(user) / 100) for i in range(100))
            (root / user / "Trajectory" / f"{name}.plt").write_text(PLT_HEADER + points, newline="")
    labels = interval(100, 200, "walk") + interval(200, 300, "bus") + interval(3600, 3700, "train")
    (root / "010" / "labels.txt").write_text(LABELS_HEADER + labels, newline="")
    (root / "020" / "labels.txt").write_text(LABELS_HEADER + interval(0, 50, "taxi"), newline="")
    return tmp_path


def test_points_join_the_interval_their_time_lies_in(folder):
    prepared = prepare_geolife(folder, folder / "out.csv")
    table = pd.read_csv(folder / "out.csv", dtype=str)
    assert tuple(table.columns) == COLUMNS
    counts = table.groupby(["user", "segment", "label", "trajectory"]).size().to_dict()
    # Both ends belong to an interval; second 200 goes to the one that begins there.
    assert counts == {
        ("010", "0", "walk", "20080501000000"): 20,
        ("010", "1", "bus", "20080501000000"): 21,
        ("010", "2", "train", "20080501010000"): 21,
        ("020", "0", "taxi", "20080501000000"): 11,
    }
    assert table.iloc[0].tolist() == [
        "010",
        "39.1",
        "116.33035",
        "-777",
        "2008-05-01 00:01:40",
        "walk",
        "0",
        "20080501000000",
    ]
    assert (prepared.points, prepared.segments, prepared.users) == (73, 4, 2)
    assert dict(prepared.skipped) == {"users without labels": 1, "points outside of every label interval": 327}


def test_folder_zip_and_compressed_output_hold_the_same(folder):
    shutil.make_archive(str(folder / "geolife"), "zip", folder, "Geolife Trajectories 1.3")
    prepare_geolife(folder / "Geolife Trajectories 1.3", folder / "a.csv")
    prepare_geolife(folder / "geolife.zip", folder / "b.csv.gz")
    prepare_geolife(folder / "geolife.zip", folder / "c.csv.gz")
    pd.testing.assert_frame_equal(pd.read_csv(folder / "a.csv"), pd.read_csv(folder / "b.csv.gz"))
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("content", [b"mode\n", b"", "Start Time\r\n".encode("utf-16")])
def test_a_user_whose_labels_have_another_header_is_skipped_and_counted(folder, content):
    (folder / "Geolife Trajectories 1.3" / "Data" / "010" / "labels.txt").write_bytes(content)
    prepared = prepare_geolife(folder, folder / "out.csv")
    assert (prepared.points, prepared.users) == (11, 1)
    assert "skipped: 1 users whose labels.txt does not begin with 'Start Time'" in prepared.lines()


def test_labels_may_begin_with_a_byte_order_mark_and_hold_any_letters(folder):
    labels = folder / "Geolife Trajectories 1.3" / "Data" / "020" / "labels.txt"
    labels.write_bytes(b"\xef\xbb\xbf" + labels.read_bytes() + interval(60, 70, "\u00e9").encode("latin-1"))
    assert prepare_geolife(folder, folder / "out.csv").users == 2
    assert set(pd.read_csv(folder / "out.csv", dtype=str)["label"]) == {"walk", "bus", "train", "taxi", "\ufffd"}


def test_a_point_that_stands_in_two_files_is_written_once_and_counted(folder):
    trajectory = folder / "Geolife Trajectories 1.3" / "Data" / "010" / "Trajectory"
    before = prepare_geolife(folder, folder / "before.csv")
    first = (trajectory / "20080501000000.plt").read_text().replace("39.1,", "39.10,")
    # Of the 21 points of the first interval but the last, which is the first of the next one's; and one elsewhere.
    (trajectory / "20080501000001.plt").write_text(PLT_HEADER + "".join(first.splitlines(keepends=True)[26:46]))
    (trajectory / "20080501000002.plt").write_text(PLT_HEADER + point(100, 39.7))
    after = prepare_geolife(folder, folder / "after.csv")
    assert dict(after.skipped)["points that repeat one of the same user, time and place"] == 20
    assert after.points == before.points + 1
    table = pd.read_csv(folder / "after.csv", dtype=str)
    assert table[table["latitude"] != "39.7"].to_csv(index=False) == (folder / "before.csv").read_text()


def test_a_source_with_two_copies_of_a_user_is_refused_with_both_names(folder):
    data = folder / "Geolife Trajectories 1.3" / "Data"
    shutil.copytree(data / "020", folder / "Copy" / "020")
    both = (
        r"has user 020 twice: Copy/020/labels\.txt and Geolife Trajectories 1\.3/Data/020/labels\.txt; give the folder"
    )
    with pytest.raises(DataError, match=both):
        prepare_geolife(folder, folder / "out.csv")
    shutil.make_archive(str(folder / "both"), "zip", folder)
    with pytest.raises(DataError, match=both):
        prepare_geolife(folder / "both.zip", folder / "out.csv")


def test_damaged_files_and_lines_are_skipped_and_counted(folder):
    root = folder / "Geolife Trajectories 1.3" / "Data" / "010"
    (root / "Trajectory" / "20080501010000.plt").write_text(PLT_HEADER + "39.9,116,0,1,2\r\n", newline="")
    with (root / "labels.txt").open("a", newline="") as stream:
        stream.write("2008/05/02 00:00:00\tnever\tbus\r\n" + interval(400, 300, "bus"))
    prepared = prepare_geolife(folder, folder / "out.csv")
    skipped = dict(prepared.skipped)
    assert skipped["PLT files without points or with lines that are none"] == 1
    assert skipped["lines of labels.txt that are no interval"] == 2
    assert skipped["label intervals without points"] == 3
    assert "skipped: 2 lines of labels.txt that are no interval" in prepared.lines()


def test_a_time_of_several_intervals_goes_to_the_one_that_begins_last():
    text = LABELS_HEADER + interval(0, 100, "car") + interval(20, 30, "walk")
    labels = read_labels(text, skipped=Counter())
    start = labels.start_s[0]
    assert segment_of(start + np.array([101, 30, 31, 20, 19, -1]), labels).tolist() == [-1, 1, 0, 1, 0, -1]


def test_wrong_sources_and_outputs_are_data_errors(folder):
    with pytest.raises(DataError, match=r"expected a name that ends in \.csv or \.csv\.gz"):
        prepare_geolife(folder, folder / "out.txt")
    with pytest.raises(DataError, match="no file or folder"):
        prepare_geolife(folder / "gone", folder / "out.csv")
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"is not laid out as GeoLife: found 0 USER/labels\.txt and 0 USER/Trajectory"):
        prepare_geolife(folder / "empty", folder / "out.csv")
    (folder / "cut.zip").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(DataError, match="is no complete zip file"):
        prepare_geolife(folder / "cut.zip", folder / "out.csv")
    assert not list(folder.glob("out.csv*"))
    (folder / "out.csv").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        prepare_geolife(folder, folder / "out.csv")


def test_without_a_labelled_point_nothing_is_written(folder):
    for user in ("010", "020"):
        labels = folder / "Geolife Trajectories 1.3" / "Data" / user / "labels.txt"
        labels.write_text(LABELS_HEADER + interval(90_000, 90_001, "walk"), newline="")
    with pytest.raises(DataError, match="no point lies in a label interval; skipped 1 users without labels"):
        prepare_geolife(folder, folder / "out.csv")
    assert not list(folder.glob("out.csv*"))


def write_zip(archive, folder, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(archive, "w", compression) as file:
        for path in sorted((folder / "Geolife Trajectories 1.3").rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder).as_posix())
    return bytearray(archive.read_bytes())


def test_a_damaged_member_of_a_zip_file_is_named(folder):
    content = write_zip(folder / "g.zip", folder)
    place = content.find(b"116.33035")
    content[place : place + 3] = b"999"
    (folder / "g.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"\.plt is damaged \(Bad CRC-32"):
        prepare_geolife(folder / "g.zip", folder / "out.csv")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_is_told_whatever_the_compression(folder, compression):
    content = write_zip(folder / "g.zip", folder, compression)
    place = content.find(b"labels.txt") + len("labels.txt") + 10
    content[place : place + 20] = b"\xff" * 20
    (folder / "g.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"g\.zip: .*/labels\.txt is damaged \(.+\); copy or download the file again"):
        prepare_geolife(folder / "g.zip", folder / "out.csv")


@pytest.mark.parametrize(
    ("place", "value", "reason"), [(8, 1, "is encrypted, password required"), (10, 98, "compression method is not")]
)
def test_a_zip_file_that_python_cannot_unpack_is_told_with_what_to_do(folder, place, value, reason):
    content = write_zip(folder / "g.zip", folder)
    at = content.find(b"PK\x01\x02")
    while at >= 0:  # in each entry of the directory at the end: flags, and the method of compression
        content[at + place] = value
        at = content.find(b"PK\x01\x02", at + 1)
    (folder / "g.zip").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"labels\.txt cannot be unpacked \(.*{reason}.*\); unpack it by another program"
    ):
        prepare_geolife(folder / "g.zip", folder / "out.csv")


@pytest.mark.slow
def test_the_real_original_gives_the_rows_of_the_labelled_table(real_data, tmp_path):
    prepared = prepare_geolife(real_data / "geolife" / "geolife_original_12_users.zip", tmp_path / "out.csv.gz")
    assert (prepared.points, prepared.users) == (82_197, 12)  # two more repeat another
    mine = pd.read_csv(tmp_path / "out.csv.gz", dtype=str)
    table = pd.read_csv(real_data / "geolife" / "geolife_labelled_points.csv.gz", dtype=str)
    table = table[table["user"].isin(mine["user"].unique())]
    # The table has at most 2,500 points of a segment; where one interval lies within another they may differ.
    found = table.merge(mine, how="left", on=list(COLUMNS), indicator=True)
    assert (found["_merge"] == "both").mean() > 0.999
    assert load_geolife(data_dir=tmp_path / "out.csv.gz").num_clients >= 5


def test_a_zip_file_that_unpacks_to_more_than_the_limit_is_refused_with_the_remedy(folder, monkeypatch):
    monkeypatch.setattr("eafl_flower.data.tables.unpacked.ALWAYS_FINE", 1_000)
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("Data/000/labels.txt", " " * 1_000_000)
    with pytest.raises(
        DataError, match=r"unpacks to 1,000,000 bytes, more than .* another program and give the folder"
    ):
        prepare_geolife(folder / "bomb.zip", folder / "out.csv")
    assert not (folder / "out.csv").exists()


def test_the_table_is_not_written_through_a_link(folder):
    (folder / "victim").write_text("precious")
    (folder / "out.csv.part").symlink_to(folder / "victim")
    prepare_geolife(folder, folder / "out.csv")
    assert (folder / "victim").read_text() == "precious"
    assert not (folder / "out.csv").is_symlink()
