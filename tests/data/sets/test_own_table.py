"""What a file of one's own leaves unsaid, or says in its own way."""

import numpy as np
import pytest

from eafl_flower.data.leaks.check import check_csv
from eafl_flower.data.sets.input_rows import read_input_rows
from eafl_flower.data.sets.own_csv import load_csv
from eafl_flower.data.tables.columns import Columns
from eafl_flower.errors import DataError


@pytest.fixture
def table(tmp_path):
    """Write 240 rows of six clients, of which single columns are changed, and return the path."""

    def write(**changes):
        rng = np.random.default_rng(0)
        rows = []
        for i in range(240):
            speed = float(rng.uniform(1, 40))
            row = {"id": f"v{i % 6}", "speed": f"{speed:.3f}", "gap": f"{rng.normal():.3f}", "kind": "ab"[speed > 20]}
            row.update({name: change(i, row[name]) for name, change in changes.items()})
            rows.append(",".join(f'"{cell}"' if "," in cell else cell for cell in row.values()))
        path = tmp_path / "t.csv"
        path.write_text("\n".join(["id,speed,gap,kind", *rows]) + "\n")
        return path

    return write


COLUMNS = {"label": "kind", "client": "id"}


def same(a, b):
    return all(
        np.array_equal(getattr(a.partition(i), side), getattr(b.partition(i), side))
        for i in range(6)
        for side in ("x_train", "y_train", "x_test", "y_test")
    )


@pytest.mark.parametrize(
    ("column", "write_otherwise"),
    [
        ("kind", lambda i, cell: cell.upper() if i % 5 == 0 else cell),
        ("id", lambda i, cell: f" {cell.upper()} " if i % 7 == 0 else cell),
    ],
)
def test_names_that_are_written_differently_are_no_other_classes_and_clients(table, column, write_otherwise):
    plain = load_csv(table(), **COLUMNS)
    mixed = load_csv(table(**{column: write_otherwise}), **COLUMNS)
    assert (mixed.class_names, mixed.client_names) == (plain.class_names, plain.client_names)
    assert same(mixed, plain)
    (note,) = set(mixed.notes) - set(plain.notes)
    assert note.startswith(f"column {column}: cells that are written differently are taken for one ")


@pytest.mark.parametrize(("column", "of"), [("kind", "class"), ("id", "client")])
@pytest.mark.parametrize("cell", ["", "NaN", "NA", "null", "none", "-", "?"])
def test_missing_names_are_no_class_and_no_client(table, column, of, cell):
    path = table(**{column: lambda i, given: cell if i % 4 == 0 else given})
    with pytest.raises(DataError, match=f"lines 2, 6, 10 and 57 more, column {column}: .* names no {of}; fill it or"):
        load_csv(path, **COLUMNS)
    assert "lines 2, 6, 10 and 57 more" in check_csv(path, Columns(**COLUMNS)).refusal


@pytest.mark.parametrize(
    "written",
    [
        lambda i, cell: cell.replace(".", ","),
        lambda i, cell: f"{float(cell) * 1000:,.1f}",
        lambda i, cell: f"{cell} km/h",
        lambda i, cell: f"{cell.replace('.', ',')}km/h",
    ],
)
@pytest.mark.parametrize("features", [(), ("speed", "gap")])
def test_numbers_in_another_hand_are_numbers_and_not_words(table, written, features):
    # three decimals behind every comma could be thousands: one row has two
    plain = load_csv(table(speed=lambda i, cell: cell[:-1] if i == 3 else cell), features=features, **COLUMNS)
    path = table(speed=lambda i, cell: written(i, cell[:-1] if i == 3 else cell))
    found = load_csv(path, features=features, **COLUMNS)
    assert found.feature_names == ("speed", "gap")
    for a, b in zip(found.parts, plain.parts, strict=True):
        np.testing.assert_allclose(a.x_train, b.x_train, atol=0.05)  # bins are relative to the unit
    (note,) = [note for note in found.notes if "read as numbers with" in note]
    assert note.startswith("column speed: ") and " cells read as numbers with " in note


@pytest.mark.parametrize("features", [(), ("speed",)])
def test_numbers_that_can_be_read_in_two_ways_are_refused_by_name(table, features):
    path = table(speed=lambda i, cell: cell.replace(".", ","))
    with pytest.raises(DataError, match=r"column speed: '.*' may be .* or .*; write decimals with points"):
        load_csv(path, features=features, **COLUMNS)


def test_an_extreme_number_changes_the_others_little_and_is_told_with_its_line_by_run_and_check(table):
    plain = load_csv(table(), **COLUMNS)
    path = table(speed=lambda i, cell: "1e6" if i == 13 else cell)
    wild = load_csv(path, **COLUMNS)
    x, y = (np.concatenate([p.x_train[:, 0] for p in source.parts[:5]]) for source in (wild, plain))
    ordinary = np.abs(x) < 8
    assert np.abs(x - y)[ordinary].max() < 0.25
    told = "count as that far: speed 1 (1e+06; line 15); mend them"
    assert told in wild.notes[0] and plain.notes == ()
    notes = check_csv(path, Columns(**COLUMNS)).notes
    assert notes == ("features of a run: speed, gap", *wild.notes, "clients of a run: 6")


def test_clients_with_too_few_rows_are_told_with_their_number_and_names(table):
    path = table(id=lambda i, cell: f"few{i % 3}" if i < 18 else cell)
    source = load_csv(path, **COLUMNS)
    assert (source.num_clients, source.clients_left_out, source.rows_left_out) == (6, 3, 18)
    (note,) = source.notes
    assert note.startswith("left out 3 clients with 18 rows, fewer than 8 each or of one content: few0, few1, few2; ")
    assert note in check_csv(path, Columns(**COLUMNS)).notes


def test_words_of_features_that_are_written_differently_are_one_word_in_training_and_in_use(table, tmp_path):
    def words(i, _):
        return ("road", "Road", "sea", "SEA ")[(i // 6) % 4] if i % 5 else "road"

    def alike(i, _):
        return words(i, _).strip().lower()

    plain = load_csv(table(gap=alike), features=("speed", "gap"), **COLUMNS)
    mixed = load_csv(table(gap=words), features=("speed", "gap"), **COLUMNS)
    assert plain.feature_names == ("speed", "gap=road", "gap=sea", "gap=other")
    assert {name.lower() for name in mixed.feature_names} == set(plain.feature_names)
    assert any(
        note.startswith("column gap: cells that are written differently are taken for one word: ")
        for note in mixed.notes
    )
    new = tmp_path / "new.csv"
    new.write_text("speed,gap\n1,ROAD\n2,road\n3,moon\n")
    found = read_input_rows(
        new, data="csv", feature_names=plain.feature_names, class_names=("a", "b"), columns=plain.columns
    )
    assert found.x[:, 1:].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert found.notes == ("column gap: cells are read as a word that is written differently: 'ROAD' (1) as 'road'",)


def test_a_column_that_does_not_vary_is_told_for_a_model_never_sees_it(table):
    (note,) = load_csv(table(gap=lambda i, _: "7.5"), **COLUMNS).notes
    assert note == "the same in all training rows, so that a model sees 0 always: gap; leave them out"
