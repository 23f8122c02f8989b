import gzip

import numpy as np
import pytest

from eafl_flower.data.sets.input_rows import read_input_rows
from eafl_flower.data.sets.own_csv import MIN_ROWS, load_csv
from eafl_flower.errors import ConfigError, DataError


def write(tmp_path, rows, header=("id", "when", "a", "b", "colour", "kind"), name="mine.csv"):
    path = tmp_path / name
    path.write_text("\n".join([",".join(header), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def rows(clients=6, each=40):
    """Two numbers, a colour and a class by the sign of the first; ``b`` is the number of the row."""
    rng = np.random.default_rng(0)
    out = []
    for client in range(clients):
        for i in range(each):
            a = rng.normal()
            when = f"2024-01-01T00:{i:02}:00"
            out.append((f"v{client}", when, f"{a:.6f}", client * each + i, "xyz"[i % 3], ("blue", "red")[a > 0]))
    return out


@pytest.fixture
def mine(tmp_path):
    return write(tmp_path, rows())


def numbers(source, client, side):
    """Column ``b`` as the file has it."""
    column = source.feature_names.index("b")
    x = getattr(source.partition(client), side)[:, column].astype(np.float64)
    return np.round(x * source.scaler.scale[column] + source.scaler.mean[column]).astype(int)


def test_with_client_and_time_columns_the_last_quarter_of_each_client_is_held_out(mine):
    source = load_csv(mine, label="kind", client="id", time="when", unseen=1)
    assert (source.num_clients, source.num_seen) == (6, 5)
    assert (source.feature_names, source.class_names) == (("a", "b"), ("blue", "red"))
    for client in range(6):
        train, test = numbers(source, client, "x_train"), numbers(source, client, "x_test")
        assert len({*(train // 40), *(test // 40)}) == 1
        assert len(train) == (30 if client < 5 else 10)
        assert train.max() < test.min()


def test_without_a_time_column_equal_rows_stay_together(tmp_path):
    copies = [row for row in rows(each=20) for _ in range(3)]
    source = load_csv(write(tmp_path, copies), label="kind", client="id")
    for client in range(source.num_clients):
        train, test = (set(numbers(source, client, side)) for side in ("x_train", "x_test"))
        assert train and test and not train & test
        assert len(train | test) == 20


@pytest.mark.parametrize("client", ["", "id"])
def test_rows_that_are_equal_for_the_model_stay_together_though_the_file_tells_them_apart(tmp_path, client):
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in rng.integers(0, 150, 600)]  # 20 have columns, all others share one
    table = [
        (f"v{i % 3}", i, rng.integers(0, 4), rng.integers(0, 4), word, "ab"[i % 2]) for i, word in enumerate(words)
    ]
    path = write(tmp_path, table)
    source = load_csv(path, label="kind", client=client, features=("a", "colour"), clients=3, unseen=1)
    parts = [source.partition(number) for number in range(3)]
    train, test = ([{row.tobytes() for row in getattr(part, side)} for part in parts] for side in ("x_train", "x_test"))
    assert all(train) and all(test)
    # Where clients own their rows, two of them may have equal ones.
    assert not (train[0] & test[0]) | (train[1] & test[1])
    assert client or not (train[0] | train[1]) & (test[0] | test[1] | test[2])


def test_without_a_client_column_clients_share_the_rows(mine):
    source = load_csv(mine, label="kind", clients=4, unseen=1, dirichlet_alpha=2.0)
    everybody = [
        number for client in range(4) for side in ("x_train", "x_test") for number in numbers(source, client, side)
    ]
    assert sorted(everybody) == list(range(240))
    stretches = load_csv(mine, label="kind", clients=4, unseen=1, partition="contiguous")
    assert [numbers(stretches, c, "x_train").min() // 60 for c in range(4)] == [0, 1, 2, 3]
    # Without a number of clients there are as many as have 50 rows on average.
    assert load_csv(mine, label="kind", dirichlet_alpha=2.0).num_clients == 4


@pytest.mark.parametrize("partition", ["dirichlet", "dirichlet-equal", "iid"])
def test_shared_rows_with_times_are_held_out_after_those_of_their_class_that_anybody_trains_on(mine, partition):
    options = {"clients": 4, "unseen": 1, "partition": partition, "dirichlet_alpha": 2.0}
    source = load_csv(mine, label="kind", time="when", **options)
    for kind in range(2):
        train, test = (
            [numbers(source, c, f"x_{side}")[getattr(source.partition(c), f"y_{side}") == kind] % 40 for c in range(4)]
            for side in ("train", "test")
        )
        assert np.concatenate(train).max() < np.concatenate(test).min()


def test_texts_become_columns_of_their_common_values(mine, tmp_path):
    source = load_csv(mine, label="kind", client="id", features=("a", "colour"))
    assert source.feature_names == ("a", "colour=x", "colour=y", "colour=z", "colour=other")
    many = [(*row[:4], f"w{i // 15}", row[5]) for i, row in enumerate(rows(each=100))]
    names = load_csv(
        write(tmp_path, many, name="many.csv"), label="kind", client="id", features=["colour"]
    ).feature_names
    assert len(names) == 21 and names[-1] == "colour=other"
    names = [(*row[:4], f"name {i}", row[5]) for i, row in enumerate(rows())]
    with pytest.raises(
        DataError, match=r"column colour: 240 different texts, at most 200 can be a feature; leave it out"
    ):
        load_csv(write(tmp_path, names, name="names.csv"), label="kind", client="id", features=["colour"])


def test_clients_with_few_rows_are_left_out(tmp_path):
    few = [row for row in rows() if row[0] != "v2" or int(row[3]) % 40 < MIN_ROWS - 1]
    source = load_csv(write(tmp_path, few), label="kind", client="id")
    assert (source.num_clients, source.clients_left_out, source.rows_left_out) == (5, 1, 7)
    note = next(note for note in source.notes if note.startswith("left out"))
    assert note.startswith(
        "left out 1 client with 7 rows, fewer than 8 each or of one content: v2; give them more rows"
    )
    with pytest.raises(ConfigError, match=r"data\.clients = 6: the data set has 5"):
        load_csv(tmp_path / "mine.csv", label="kind", client="id", clients=6)
    one_each = [(f"v{i}", *row[1:]) for i, row in enumerate(rows())]
    with pytest.raises(DataError, match="none of the 240 clients in column id has 8 rows with different features"):
        load_csv(write(tmp_path, one_each), label="kind", client="id")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({2: ""}, r"line 5, column a: expected a number, found an empty cell; fill it, or leave out the row or the"),
        ({2: "n/a"}, r"line 5, column a: expected a number, found 'n/a'"),
        ({2: "nan"}, r"line 5, column a: expected a number, found 'nan'"),
        ({2: "inf"}, r"line 5, column a: expected a number, found 'inf'"),
        ({2: "1e200"}, r"line 5, column a: 1e\+200 is too large to be scaled"),
        ({0: ""}, r"line 5, column id: an empty cell names no client; fill it or leave the row out"),
        ({5: ""}, r"line 5, column kind: an empty cell names no class; fill it or leave the row out"),
        ({1: "noon"}, r"line 5, column when: expected a number or a time as in 2008-05-21 14:30:00, found 'noon'"),
    ],
)
def test_cells_that_cannot_be_used_are_named_by_line_and_column(tmp_path, change, message):
    table = [list(row) for row in rows()]
    for column, text in change.items():
        table[3][column] = text
    with pytest.raises(DataError, match=message):
        load_csv(write(tmp_path, table), label="kind", client="id", time="when")


@pytest.mark.parametrize(
    "cells",
    [
        {0: "100000000000000000000"},
        {i: 10**25 + i * 10**20 for i in range(240)},
        {i: 2**64 - i if i % 2 else -i for i in range(240)},
        {i: f"\u00a0{i}" for i in range(0, 240, 3)},
    ],
)
def test_numbers_are_taken_however_long_they_are_and_whatever_blanks_are_around_them(tmp_path, cells):
    table = [list(row) for row in rows()]
    for row, cell in cells.items():
        table[row][2] = cell
    path = write(tmp_path, table)
    source = load_csv(path, label="kind", client="id", features=("a", "b"))
    assert source.feature_names == ("a", "b")
    known = read_input_rows(path, data="csv", feature_names=("a", "b"), class_names=(), columns=source.columns).x
    assert known[:, 0].tolist() == [float(row[2]) for row in table]
    part = source.partition(0)
    assert {row.tobytes() for row in part.x_train} <= {row.tobytes() for row in source.scaler.apply(known)}


@pytest.mark.parametrize("nothing", ["", "NA", "NaN", "null", "?", "Unknown"])
@pytest.mark.parametrize("values", [("1.5", "2"), ("True", "false")])
def test_a_column_of_numbers_or_truths_is_one_however_many_cells_say_nothing(tmp_path, nothing, values):
    table = [(*row[:2], values[i % 2] if i % 5 == 0 else nothing, *row[3:]) for i, row in enumerate(rows())]
    path = write(tmp_path, table)
    for features in ((), ("a", "b")):
        with pytest.raises(DataError, match=r"line 3, column a: expected a number, found .*; fill it, or leave out"):
            load_csv(path, label="kind", client="id", features=features)


def test_truths_may_be_written_as_numbers_too_but_not_beside_other_numbers(tmp_path):
    table = [(*row[:2], ("True", "0", "false", "1")[i % 4], *row[3:]) for i, row in enumerate(rows())]
    source = load_csv(write(tmp_path, table), label="kind", client="id")
    assert source.feature_names == ("a", "b")
    wet = source.partition(0).x_train[:, 0] * source.scaler.scale[0] + source.scaler.mean[0]
    assert set(np.round(wet, 5)) == {0, 1}
    with pytest.raises(DataError, match="line 2, column a: expected a number, found 'True'"):
        load_csv(write(tmp_path, [table[0], *rows()[1:]]), label="kind", client="id")


def test_words_beside_empty_cells_are_texts_and_what_is_left_out_is_told(tmp_path):
    table = [(*row[:4], ("x", "", "4")[i % 3], row[5]) for i, row in enumerate(rows())]
    path = write(tmp_path, table)
    source = load_csv(path, label="kind", client="id", time="when")
    told = "columns of text are no features unless --features names them: colour"
    assert (source.feature_names, source.notes) == (("a", "b"), (told,))
    named = load_csv(path, label="kind", client="id", time="when", features=("colour",))
    assert (named.feature_names, named.notes) == (("colour=", "colour=4", "colour=x", "colour=other"), ())


def test_a_number_that_means_unknown_is_refused_and_a_real_one_is_not(tmp_path):
    table = [list(row) for row in rows()]
    table[3][2] = table[9][2] = "-999"
    with pytest.raises(
        DataError, match=r"line 5, column a: -999 stands in 2 rows, far from the other values .*'unknown'"
    ):
        load_csv(write(tmp_path, table), label="kind", client="id")
    assert load_csv(tmp_path / "mine.csv", label="kind", client="id", features=["b"]).feature_names == ("b",)
    for i, row in enumerate(table):
        row[2] = 999 if i % 7 == 0 else 990 + i % 9
    assert load_csv(write(tmp_path, table), label="kind", client="id").feature_names == ("a", "b")


@pytest.mark.parametrize(
    ("sign", "places", "others", "told"),
    [
        (-999, 1, (-4, 5), "-999 stands in 1 row, far from the other values .-4 to 5."),
        (9999.99, 1, (0, 100), "9999.99 stands in 1 row, far from"),
        (-999, 40, (0, 229), "-999 stands in 40 rows, below the other values .0 to 229."),
        (-99, 2, (0, 5000), "-99 stands in 2 rows, below"),
        (-999, 1, (0, 229), None),  # may be the one honest loss
        (-999, 40, (-1, 229), None),
        (999, 40, (0, 229), None),  # a price
        (-1, 40, (20, 25), None),
        (-998, 40, (0, 1), None),
    ],
)
def test_a_number_means_unknown_if_it_is_a_usual_one_and_far_or_alone_below_zero(tmp_path, sign, places, others, told):
    table = [list(row) for row in rows()]
    for i, row in enumerate(table):
        row[2] = sign if i < places else others[i % 2]
    path = write(tmp_path, table)
    if told is None:
        assert load_csv(path, label="kind", client="id", time="when").feature_names == ("a", "b")
    else:
        with pytest.raises(DataError, match=f"line 2, column a: {told}.* and seems to mean 'unknown'; write a number"):
            load_csv(path, label="kind", client="id", time="when")


def test_two_signs_in_a_column_do_not_hide_each_other(tmp_path):
    table = [list(row) for row in rows()]
    table[3][2], table[9][2] = "-999", "9999"
    with pytest.raises(DataError, match="line 5, column a: -999 stands in 1 row, far from"):
        load_csv(write(tmp_path, table), label="kind", client="id")


def test_wrong_labels_and_columns_are_refused(mine, tmp_path):
    with pytest.raises(DataError, match=r"column a: expected 2 to 100 classes, found 240 different values"):
        load_csv(mine, label="a", client="id")
    with pytest.raises(DataError, match=r"column kind: expected 2 to 100 classes, found only 'red'"):
        load_csv(write(tmp_path, [(*row[:5], "red") for row in rows()], name="one.csv"), label="kind")
    with pytest.raises(DataError, match=r"has no column sort, who: found id, when, a, b, colour, kind"):
        load_csv(mine, label="sort", client="who")
    with pytest.raises(DataError, match=r"column kind is named for two uses"):
        load_csv(mine, label="kind", features=["a", "kind"])
    with pytest.raises(DataError, match="has no column of numbers beside label, client and time"):
        load_csv(write(tmp_path, [row[4:] for row in rows()], ("colour", "kind"), "words.csv"), label="kind")
    with pytest.raises(DataError, match="has a header but no rows"):
        load_csv(write(tmp_path, [], name="empty.csv"), label="kind")


def test_rows_too_few_to_be_shared_are_refused_with_their_number(tmp_path):
    few = write(tmp_path, rows(1, 5), name="few.csv")
    with pytest.raises(DataError, match=r"5 rows, 5 with different features, are too few for data\.clients = 1"):
        load_csv(few, label="kind")
    alike = write(tmp_path, [(*row[:4], "xyz"[i % 3], row[5]) for i, row in enumerate(rows())], name="alike.csv")
    with pytest.raises(DataError, match=r"240 rows, 3 with different features, are too few for data\.clients = 4"):
        load_csv(alike, label="kind", features=["colour"])


def test_the_file_is_found_here_or_in_the_data_folder_plain_or_compressed(mine, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "packed.csv.gz").write_bytes(gzip.compress(mine.read_bytes()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EAFL_DATA_DIR", raising=False)
    here = load_csv("mine.csv", label="kind", client="id")
    packed = load_csv("packed.csv.gz", label="kind", client="id", data_dir="data")
    np.testing.assert_array_equal(here.partition(0).x_train, packed.partition(0).x_train)
    with pytest.raises(DataError, match=r"data\.csv\.file: no file packed\.csv\.gz$"):
        load_csv("packed.csv.gz", label="kind")


def test_the_split_is_a_function_of_the_seed(mine):
    a, b, c = (load_csv(mine, label="kind", client="id", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.partition(0).x_test, b.partition(0).x_test)
    assert not np.array_equal(a.partition(0).x_test, c.partition(0).x_test)


def test_a_column_without_a_name_as_row_numbers_often_have_is_no_feature(tmp_path):
    path = write(
        tmp_path, [(number, *row) for number, row in enumerate(rows())], ("", "id", "when", "a", "b", "colour", "kind")
    )
    assert load_csv(path, label="kind", client="id", time="when").feature_names == ("a", "b")
