import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.data.tables.files import DataFile, find, read_columns, read_header, read_text
from eafl_flower.data.tables.lines import line_of
from eafl_flower.errors import DataError

FILE = DataFile(title="a set", relative="sets/table.csv.gz", published="https://example.org/set")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("place", ["sets/table.csv.gz", "sets/table.csv", "table.csv.gz", "table.csv"])
def test_a_file_is_found_in_its_place_or_in_the_folder_with_or_without_gz(tmp_path, place):
    path = write(tmp_path / place, "a\n1\n")
    assert find(FILE, tmp_path) == path
    assert find(FILE, str(path)) == path


def test_the_folder_may_come_from_the_environment_and_the_argument_wins(tmp_path, monkeypatch):
    path = write(tmp_path / "one" / "table.csv", "a\n1\n")
    other = write(tmp_path / "two" / "table.csv", "a\n1\n")
    monkeypatch.setenv("EAFL_DATA_DIR", str(tmp_path / "one"))
    assert find(FILE) == path
    assert find(FILE, tmp_path / "two") == other


def test_what_is_missing_is_named_with_its_publisher(tmp_path, monkeypatch):
    monkeypatch.delenv("EAFL_DATA_DIR", raising=False)
    expected = r"expected sets/table\.csv\.gz \(a set; published at https://example\.org/set\)"
    with pytest.raises(DataError, match=f"no data folder: set data.dir or the variable EAFL_DATA_DIR; {expected}"):
        find(FILE)
    with pytest.raises(DataError, match=f"nowhere does not exist; {expected}"):
        find(FILE, tmp_path / "nowhere")
    with pytest.raises(DataError, match=rf"no file sets/table\.csv\.gz or .* or table\.csv in .*; {expected}"):
        find(FILE, tmp_path)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_byte_order_mark_extra_columns_another_order_and_blanks_do_no_harm(tmp_path, name):
    path = write(tmp_path / name, "\ufeffid,b,word,a\n1,2.5, NA ,3\n2,1e3,-,4\n")
    table = read_columns(path, numeric=["a", "b"], text=["word"])
    assert list(table.columns) == ["a", "b", "word"]
    assert table["a"].tolist() == [3.0, 4.0] and table["b"].tolist() == [2.5, 1000.0]
    assert table["word"].tolist() == ["NA", "-"]
    assert read_header(path) == ("id", "b", "word", "a")
    assert read_text(path)["word"].tolist() == [" NA ", "-"]


def refused(path, match, **columns):
    with pytest.raises(DataError, match=match):
        read_columns(path, **(columns or {"numeric": ["a"], "text": ["w"]}))


def test_a_missing_column_is_named_with_what_was_found(tmp_path):
    path = write(tmp_path / "t.csv", "x,y\n1,2\n")
    with pytest.raises(DataError, match=r"has no column a, w: found x, y; the original is published at https://e"):
        read_columns(path, numeric=["a"], text=["w"], published=FILE.published)


def test_many_columns_are_not_all_listed(tmp_path):
    path = write(tmp_path / "t.csv", ",".join(f"c{i}" for i in range(40)) + "\n")
    refused(path, "c0, c1, .*c11 and 28 more")


def test_empty_files_and_files_without_rows_are_told_apart(tmp_path):
    refused(write(tmp_path / "empty.csv", ""), "empty.csv is empty")
    refused(write(tmp_path / "empty.csv.gz", ""), "is empty")
    refused(write(tmp_path / "header.csv", "a,w\n"), "has a header but no rows")


def test_truncated_compression_is_named(tmp_path):
    path = write(tmp_path / "t.csv.gz", "a,w\n" + "".join(f"{i * 37 % 1009},x{i}\n" for i in range(5000)))
    whole = path.read_bytes()
    for keep in (len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:keep])
        refused(path, "truncated: the compressed data end early; copy or download it again")


@pytest.mark.parametrize("place", [0.5, 1.0])  # in the data, or in the checksum behind them
def test_compressed_data_that_were_altered_are_not_called_truncated(tmp_path, place):
    path = write(tmp_path / "t.csv.gz", "a,w\n" + "".join(f"{i * 37 % 1009},x{i}\n" for i in range(5000)))
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 6))] ^= 0xFF
    path.write_bytes(content)
    refused(path, r"is damaged: the compressed data are not as they were written \(.+\); copy or download it again")


def test_an_open_quote_is_not_a_proper_table(tmp_path):
    refused(write(tmp_path / "q.csv", 'a,w\n1,x\n2,"y\n'), "is not a proper CSV file: .*EOF inside string")


def test_the_content_tells_what_is_compressed_and_not_the_name(tmp_path):
    plain, packed = tmp_path / "plain.csv.gz", tmp_path / "packed.csv"
    plain.write_bytes(b"a,w\n1,x\n")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        assert read_columns(path, numeric=["a"], text=["w"]).to_numpy().tolist() == [[1, "x"]]


def test_zip_files_pictures_and_damaged_compression_are_data_errors(tmp_path):
    archive = tmp_path / "t.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("t.csv", "a,w\n1,x\n")
    refused(archive, "is a zip file; unpack it, and name the CSV file in it")
    np.savez(tmp_path / "t.npz", images=np.zeros(3))
    refused(tmp_path / "t.npz", "holds arrays of numpy, such as images, and no table; a run checks them")
    picture = tmp_path / "p.csv"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    refused(picture, r"not a text file in UTF-8 \(byte 0\), plain or compressed by gzip")
    path = write(tmp_path / "u.csv.gz", "a,w\n" + "1,x\n" * 5000)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(bytes(damaged))
    with pytest.raises(DataError):
        read_columns(path, numeric=["a"], text=["w"])


@pytest.mark.parametrize("cell, shown", [("fast", "'fast'"), ("", "an empty cell"), ("inf", "'inf'"), ("nan", "'nan'")])
def test_a_cell_that_is_no_number_is_named_by_line_and_column(tmp_path, cell, shown):
    path = write(tmp_path / "t.csv", f"b,a,w\n1,2,x\n1,3,y\n1,{cell},z\n")
    refused(path, f"line 4, column a: expected a number, found {shown}")


def test_a_row_that_ends_early_is_a_bad_cell(tmp_path):
    refused(write(tmp_path / "s.csv", "w,a\nx,1\ny\n"), "line 3, column a: expected a number, found an empty cell")


def test_a_folder_in_place_of_a_file_and_a_file_that_is_gone_are_data_errors(tmp_path):
    refused(tmp_path / "gone.csv", "no file .*gone.csv")
    refused(tmp_path, "cannot be read")


def test_a_row_longer_than_the_header_is_named_and_commas_at_the_end_of_all_lines_are_not(tmp_path):
    refused(write(tmp_path / "one.csv", "a,w\n1,x\n2,y,3\n"), r"line 3: more cells than the header has columns \(2\)")
    refused(write(tmp_path / "all.csv", "a,w\n1,x,\n2,y,3,4\n"), "line 3: more cells")
    path = write(tmp_path / "commas.csv", "a,w\n1,x,\n2,y,\n")
    assert read_columns(path, numeric=["a"], text=["w"]).to_numpy().tolist() == [[1, "x"], [2, "y"]]


def test_a_name_that_stands_twice_is_refused_only_if_it_is_asked_for(tmp_path):
    path = write(tmp_path / "t.csv", "a,b,b,w\n1,2,3,x\n")
    refused(path, "column b stands twice in the header; rename one of them", numeric=["a", "b"])
    assert read_columns(path, numeric=["a"], text=["w"]).to_numpy().tolist() == [[1, "x"]]


def test_blanks_around_names_are_no_part_of_them(tmp_path):
    path = write(tmp_path / "t.csv", "a, w ,b\n1,x,2\n")
    assert read_header(path) == ("a", "w", "b")
    assert read_columns(path, numeric=["b"], text=["w"]).to_numpy().tolist() == [[2, "x"]]


@pytest.mark.parametrize("sign, word", [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
def test_other_separators_than_commas_are_named(tmp_path, sign, word):
    refused(write(tmp_path / "t.csv", f"a{sign}w\n1,5{sign}x\n"), f"its cells are separated by {word}; write them with")


def test_a_place_in_a_file_is_its_line_also_behind_blank_lines_and_quoted_line_ends(tmp_path):
    path = write(tmp_path / "t.csv.gz", '\ufeff\na,w\n\n1,"x\ny"\n  \nfast,z\n')
    refused(path, "line 7, column a: expected a number, found 'fast'")
    assert [line_of(path, row) for row in range(2)] == [4, 7]
    assert line_of(tmp_path / "gone.csv", 5) == 7


def test_an_archive_of_files_is_not_taken_for_a_table(tmp_path):
    refused(write(tmp_path / "t.tar.gz", b"folder/a.csv\0\0\0\n"), "is not a text file")


def test_a_gzip_file_that_unpacks_to_more_than_the_limit_is_refused_with_the_remedy(tmp_path, monkeypatch):
    path = write(tmp_path / "bomb.csv.gz", "a,b\n" + "1,2\n" * 500_000)
    whole = len(read_columns(path, numeric=("a",)))
    monkeypatch.setattr("eafl_flower.data.tables.unpacked.ALWAYS_FINE", 1_000_000)
    for read in (lambda: read_columns(path, numeric=("a",)), lambda: read_text(path)):
        with pytest.raises(
            DataError, match=r"bomb.csv.gz unpacks to more than .* unpack it \(gunzip\) and name the plain"
        ):
            read()
    plain = write(tmp_path / "plain.csv", gzip.decompress(path.read_bytes()))
    assert len(read_columns(plain, numeric=("a",))) == whole


def test_one_endless_line_is_no_header(tmp_path, monkeypatch):
    monkeypatch.setattr("eafl_flower.data.tables.unpacked.ALWAYS_FINE", 1_000_000)
    path = write(tmp_path / "line.csv.gz", b"x" * 3_000_000)
    with pytest.raises(DataError, match="unpacks to more than"):
        read_header(path)


def test_a_device_is_no_table():
    with pytest.raises(DataError, match="is a pipe or a device"):
        read_header(Path("/dev/zero"))
