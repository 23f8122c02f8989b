from pathlib import Path

import numpy as np
import pytest

from eafl_flower.data.tables.numbers import written_numbers
from eafl_flower.errors import DataError


def read(*cells, unit=""):
    says = np.array([cell != "" for cell in cells])
    return written_numbers(Path("t.csv"), "c", np.array(cells), says, unit=unit)


@pytest.mark.parametrize(
    ("cells", "numbers", "told"),
    [
        (("22,5", "5,125", "7"), (22.5, 5.125, 7), "2 cells read as numbers with decimal commas, '22,5' as 22.5"),
        (("1.234,5", "-2,5"), (1234.5, -2.5), "2 cells read as numbers with decimal commas, '1.234,5' as 1234.5"),
        (
            ("21,796.0", "3.5"),
            (21796, 3.5),
            "1 cell read as numbers with commas between thousands, '21,796.0' as 21796",
        ),
        (("1,234,567", "1,890"), (1234567, 1890), "2 cells read as numbers with commas between thousands"),
        (("12 345", "1'000.5"), (12345, 1000.5), "2 cells read as numbers with signs between thousands"),
        (("22 km/h", "31.5km/h"), (22, 31.5), "2 cells read as numbers with the unit km/h, '22 km/h' as 22"),
        (("5 °C", "-3 °C"), (5, -3), "with the unit °C"),
        (("5,5 %", "12,25%"), (5.5, 12.25), "with decimal commas and the unit %"),
        (("$5", "$1,000.50"), (5, 1000.5), "with commas between thousands and the unit $"),
        (("1e3 m", "2 m"), (1000, 2), "with the unit m"),
    ],
)
def test_what_can_be_read_in_one_way_is_read_so_and_told_once(cells, numbers, told):
    found = read(*cells)
    assert found.numbers.tolist() == list(numbers)
    assert told in found.note and "; write plain numbers" in found.note


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("1,234", "5,678"), "line 2, column c: '1,234' may be 1234 or 1.234; write decimals with points"),
        (("7", "1,234", "1.5"), "line 3, column c: '1,234' and others of the column are not written in one way"),
        (("1.234", "1,5"), "commas and points are mixed; write decimals with points"),
        (("22 km/h", "31 mph"), "line 3, column c: '31 mph' has not the unit of '22 km/h'; write plain numbers"),
        (("22 km/h", "31"), "line 3, column c: '31' has not the unit of '22 km/h'"),
        (("22,5", "31,5", "fast"), "line 4, column c: 'fast' among numbers is none; write a number"),
    ],
)
def test_what_can_be_read_in_two_ways_or_in_none_is_refused_by_name(cells, message):
    with pytest.raises(DataError, match=message):
        read(*cells)


@pytest.mark.parametrize(
    "cells",
    [
        ("10S", "12M", "9L"),
        ("3rd", "1st", "2nd"),
        ("192.168.0.1", "10.0.0.1"),
        ("2024-03-01", "2024-03-02"),
        ("10:30", "11:45"),
        ("tcp", "udp", "5"),
        ("v1", "v2"),
    ],
)
def test_words_with_digits_stay_words(cells):
    assert read(*cells) is None


def test_cells_that_say_nothing_are_left_for_whoever_refuses_them():
    assert np.isnan(read("22,5", "", "3,5").numbers).tolist() == [False, True, False]
    assert read("", "") is None


def test_numbers_in_another_unit_than_in_training_are_refused():
    assert read("22 km/h", unit="km/h").numbers.tolist() == [22]
    assert read("22,5", unit="km/h").numbers.tolist() == [22.5]
    with pytest.raises(DataError, match="line 2, column c: '22 mph' is not in km/h, as the numbers in training were"):
        read("22 mph", unit="km/h")
