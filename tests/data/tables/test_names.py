import doctest

import numpy as np
import pytest

from eafl_flower.data.tables import names
from eafl_flower.data.tables.labels import class_index_and_notes
from eafl_flower.data.tables.names import one_spelling
from eafl_flower.errors import DataError


def test_the_examples_are_true():
    assert doctest.testmod(names).failed == 0


@pytest.mark.parametrize("cell", ["", "  ", "nan", "NaN", "NA", "N/A", "null", "None", "-", "?"])
@pytest.mark.parametrize("of", ["class", "client"])
def test_what_programs_write_for_nothing_is_no_name(cell, of):
    cells = np.array(["a", cell, "b", cell, cell, cell])
    shown = repr(cell.strip()) if cell.strip() else "an empty cell"
    with pytest.raises(DataError, match="lines 3, 5, 6 and 1 more, column c: ") as told:
        one_spelling("t.csv", "c", cells, of=of)
    assert f"{shown} names no {of}; fill it or leave the row out" in str(told.value)


@pytest.mark.parametrize(
    ("spellings", "name"),
    [
        (("calm", "Calm", "CALM", " calm "), "calm"),
        (("0", "0.0", "-0", "0.000"), "0"),
        (("3", "3.0", "+3"), "3"),
        (("2.50", "2.5"), "2.50"),
        (("high speed", "High  Speed", "high\u00a0speed"), "high speed"),
        (("caf\u00e9", "cafe\u0301"), "caf\u00e9"),
    ],
)
def test_what_is_only_written_differently_is_one_name_in_its_commonest_spelling_and_that_is_told(spellings, name):
    cells = np.array([*spellings, spellings[0], "other"])
    found, (note,) = one_spelling("t.csv", "c", cells, of="class")
    assert found.tolist() == [name] * (len(cells) - 1) + ["other"]
    assert note.startswith("column c: cells that are written differently are taken for one class: ")
    assert all(f"{other!r} (1) as {name!r}" in note for other in spellings[1:])


def test_different_names_stay_different_and_nothing_is_told():
    cells = np.array(["1", "01", "1.5", "15", "-1", "a", "b", "true", "unknown", "0x1", "v1", "v1.0.1"])
    found, notes = one_spelling("t.csv", "c", cells, of="client")
    assert (found.tolist(), notes) == (cells.tolist(), ())


def test_labels_of_new_rows_are_read_as_the_classes_of_the_model_however_they_are_written():
    numbers, (note,) = class_index_and_notes(
        np.array(["Calm", "jam", "calm"]), ("calm", "jam"), path="t.csv", column="c"
    )
    assert numbers.tolist() == [0, 1, 0]
    assert note == "column c: cells are read as a class that is written differently: 'Calm' (1) as 'calm'"
    assert class_index_and_notes(np.array(["jam"]), ("calm", "jam"), path="t.csv", column="c")[1] == ()
    for missing in ("nan", ""):
        with pytest.raises(DataError, match=r"line 3, column c: .* is none of calm, jam"):
            class_index_and_notes(np.array(["jam", missing]), ("calm", "jam"), path="t.csv", column="c")
    with pytest.raises(DataError, match="line 2, column c: 'JAM' is none of jam, Jam"):  # which of the two?
        class_index_and_notes(np.array(["JAM"]), ("jam", "Jam"), path="t.csv", column="c")
