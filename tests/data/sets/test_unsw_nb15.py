import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.data.sets.unsw_nb15 import CLASS_NAMES, NUM_PROTOCOLS, NUMERIC, load_unsw_nb15
from eafl_flower.errors import DataError

HEADER = ["id", *NUMERIC, "proto", "service", "state", "attack_cat", "label"]


def flows(tmp_path, rows=600, *, copies=3, categories=CLASS_NAMES, name="UNSW_NB15_training-set.csv"):
    """Random flows, each written ``copies`` times with another id."""
    rng = generator(0, "flows")
    lines = [",".join(HEADER)]
    for number in range(rows):
        cells = [f"{v:.6f}" for v in rng.lognormal(1, 2, len(NUMERIC))]
        words = [f"p{min(int(rng.exponential(3)), 20)}", "dns", "FIN", categories[number % len(categories)]]
        lines += [",".join([str(number * copies + copy), *cells, *words, "0"]) for copy in range(copies)]
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


def load(path, **options):
    return load_unsw_nb15(**{"data_dir": path, "clients": 6, "unseen": 2, "dirichlet_alpha": 5.0, **options})


def rows_of(source, side):
    return [{row.tobytes() for row in getattr(source.partition(i), side)} for i in range(source.num_clients)]


def assert_no_row_on_both_sides(source):
    train, test = rows_of(source, "x_train"), rows_of(source, "x_test")
    for i in range(source.num_clients):
        for j in range(source.num_clients):
            assert not train[i] & test[j]
            assert i == j or not train[i] & train[j]


def test_equal_flows_have_one_owner_and_one_side(tmp_path):
    source = load(flows(tmp_path))
    assert_no_row_on_both_sides(source)
    parts = [source.partition(i) for i in range(6)]
    assert sum(len(p.y_train) + len(p.y_test) for p in parts) == 1800
    # A quarter is held out from clients that train, three quarters from those that do not, up to a group.
    for client, p in enumerate(parts):
        share = len(p.y_test) / (len(p.y_train) + len(p.y_test))
        assert share == pytest.approx(0.25 if client < source.num_seen else 0.75, abs=3 / len(p.y_train))


def test_contiguous_clients_own_stretches_of_the_file(tmp_path):
    # The flows are in the order of their number, ten categories in turn, so each stretch has all of them.
    source = load(flows(tmp_path), partition="contiguous")
    assert_no_row_on_both_sides(source)
    assert [len(p.y_train) + len(p.y_test) for p in source.parts] == [300] * 6


def test_row_numbers_and_the_binary_label_are_no_features(tmp_path):
    source = load(flows(tmp_path))
    assert not {"id", "label"} & set(source.feature_names)
    assert source.class_names == CLASS_NAMES
    assert source.partition(0).x_train.shape[1] == len(source.feature_names) == len(set(source.feature_names))


def test_the_commonest_protocols_of_the_training_rows_have_columns_and_the_rest_share_one(tmp_path):
    source = load(flows(tmp_path))
    columns = [name for name in source.feature_names if name.startswith("proto=")]
    assert len(columns) == NUM_PROTOCOLS + 1 and columns[-1] == "proto=other"
    assert {f"proto=p{i}" for i in range(4)} < set(columns)


def test_labels_follow_a_fixed_map_whatever_classes_are_present(tmp_path):
    source = load(flows(tmp_path, categories=("Worms", "Normal", "-", "")), clients=2, unseen=0)
    labels = np.concatenate([source.partition(i).y_train for i in range(2)])
    assert set(labels) == {CLASS_NAMES.index("Worms"), CLASS_NAMES.index("Normal")}


def test_an_unknown_category_is_named_by_line(tmp_path):
    path = flows(tmp_path, rows=4, copies=1, categories=("Normal", "Worms", "Worm"))
    with pytest.raises(DataError, match=r"line 4, column attack_cat: 'Worm' is none of Analysis, Backdoor"):
        load(path)


def test_the_split_is_a_function_of_the_seed(tmp_path):
    path = flows(tmp_path)
    a, b, c = (load(path, seed=seed).partition(0).x_train for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert a.shape != c.shape or not np.array_equal(a, c)


def test_a_missing_file_names_its_publisher(tmp_path):
    with pytest.raises(DataError, match=r"UNSW_NB15_training-set.csv.gz .*research\.unsw\.edu\.au"):
        load(tmp_path)


def test_the_real_file_has_twenty_clients_and_no_flow_on_both_sides(real_data):
    source = load_unsw_nb15(data_dir=real_data)
    assert (source.num_clients, source.num_seen) == (20, 16)
    parts = [source.partition(i) for i in range(20)]
    assert sum(len(p.y_train) + len(p.y_test) for p in parts) == 65_932
    assert_no_row_on_both_sides(source)
    assert len({tuple(np.bincount(p.y_train, minlength=10)) for p in parts}) == 20


def test_numbers_below_zero_are_refused_with_their_lines(tmp_path):
    header, *rows = flows(tmp_path).read_text().splitlines()
    place = header.split(",").index("sbytes")
    for row in (2, 5):
        cells = rows[row].split(",")
        cells[place] = "-7"
        rows[row] = ",".join(cells)
    path = tmp_path / "below.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    with pytest.raises(
        DataError, match="lines 4, 7, column sbytes: -7 is below 0, and this is a count or a size; mend"
    ):
        load_unsw_nb15(data_dir=path)
