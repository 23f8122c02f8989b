import numpy as np
import pytest

from eafl_flower.data.leaks.check import check_csv, check_file
from eafl_flower.data.tables.columns import Columns
from eafl_flower.errors import DataError


def write(tmp_path, header, rows):
    path = tmp_path / "t.csv"
    path.write_text("\n".join([",".join(header), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def warning(report, column):
    return next(c.warning for c in report.columns if c.column == column)


def score(report, column):
    return next(c.score for c in report.columns if c.column == column)


@pytest.fixture
def flows(tmp_path):
    """Flows in the order of their class, each twice, with a row number and a binary label."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(800):
        kind = ("DoS", "Normal")[number // 400]
        noise, hint = rng.integers(0, 5), rng.integers(0, 1000)
        rows += [(number * 2 + i, "tcp", "-", noise, hint, int(kind == "DoS"), kind) for i in range(2)]
    return write(tmp_path, ("id", "proto", "service", "sttl", "hint", "label", "attack_cat"), rows)


def test_a_row_number_of_a_sorted_file_is_a_leak(flows):
    report = check_file(flows)
    assert warning(report, "id") == "numbers the rows, and the order of the rows tells the class"
    assert score(report, "id") > 0.9 > 0.6 > report.majority


def test_the_label_in_another_form_is_found_and_noise_is_not_suspicious(flows):
    report = check_file(flows)
    assert warning(report, "label") == "is the label in another form"
    assert score(report, "label") == 1.0
    assert warning(report, "sttl") == warning(report, "proto") == ""


def test_counts_and_copies_are_reported(flows):
    report = check_file(flows)
    assert (report.name, report.rows, report.num_columns, report.label) == ("unsw-nb15", 1600, 7, "attack_cat")
    assert report.classes == (("DoS", 800), ("Normal", 800))
    assert report.client_rows is None and report.num_clients is None
    assert report.repeated_rows >= 800
    # Of two copies at least one stays in training with probability 3/4.
    assert report.copies_by_row > 0.6
    assert report.copies == 0
    assert [c.score for c in report.columns] == sorted((c.score for c in report.columns), reverse=True)


def test_the_lines_hold_the_findings(flows):
    report = check_file(flows)
    text = "\n".join(report.lines(most=1))
    assert "unsw-nb15, 1,600 rows, 7 columns" in text
    assert "DoS 800, Normal 800" in text
    assert "<- numbers the rows" in text and "<- is the label in another form" in text
    assert "warning: a split by row would train on copies" in text
    assert "sttl" not in text
    assert len(report.warnings) == 3


def test_a_spelling_that_tells_the_class_is_found(tmp_path):
    rng = np.random.default_rng(1)
    rows = []
    for run in range(40):
        kind = ("normal", "ddos")[run % 2]
        blank = " " if kind == "normal" else ""
        rows += [("25-Apr-19", "1:00", f"{rng.choice(['high', 'low'])}{blank}", run % 2, kind) for _ in range(20)]
    report = check_file(write(tmp_path, ("date", "time", "temp_condition", "label", "type"), rows))
    assert report.name == "ton-iot" and report.split.startswith("the last quarter of each run")
    assert warning(report, "temp_condition") == "differs in spelling from class to class"
    assert warning(report, "date") == ""


def test_clients_are_counted_where_the_table_names_them(tmp_path):
    rows = [
        (user, i // 2, 39.0 + i, f"t{user}{i}", ("walk", "bus")[i % 2]) for user in (1, 2, 3) for i in range(4 * user)
    ]
    report = check_file(write(tmp_path, ("user", "segment", "latitude", "date_time", "label"), rows))
    assert (report.num_clients, report.client_rows) == (3, (4, 8.0, 12))
    assert "3, rows each: min 4, median 8, max 12" in "\n".join(report.lines())


def test_unknown_tables_and_tables_without_rows_are_data_errors(tmp_path):
    with pytest.raises(DataError, match=r"none of a table we know \(ngsim, unsw-nb15, .*\): a, b"):
        check_file(write(tmp_path, ("a", "b"), [(1, 2)]))
    with pytest.raises(DataError, match="has a header but no rows"):
        check_file(write(tmp_path, ("user", "segment", "latitude", "date_time", "label"), []))
    with pytest.raises(DataError, match="no file"):
        check_file(tmp_path / "gone.csv")


def recording(tmp_path, tells):
    """Two types in turn, 40 runs; ``tells`` makes the value of a row of a type; blanks, hour and label leak."""
    rng = np.random.default_rng(2)
    rows = []
    for run in range(40):
        normal = run % 2 == 0
        blank = " " if normal else ""
        for second in range(20):
            clock = f"{blank}{9 if normal else 17}:{run % 60:02}:{second:02}{blank}"
            rows.append(("25-Apr-19", clock, tells(normal, rng), int(not normal), ("ddos", "normal")[normal]))
    return check_file(write(tmp_path, ("date", "time", "value", "label", "type"), rows))


def test_clock_and_blanks_are_shown_as_leaks_and_values_that_tell_nothing_as_such(tmp_path):
    report = recording(tmp_path, lambda normal, rng: int(rng.integers(0, 2)))
    assert score(report, "time (hour)") == score(report, "time (blanks)") == 1.0
    assert warning(report, "time (hour)") == "each class was recorded at hours of its own"
    assert warning(report, "time (blanks)") == "the blanks around it differ from class to class"
    text = "\n".join(report.lines())
    assert "without date, time, label and differences of spelling:" in text
    assert "nothing to learn: with the last quarter of each run of equal type held out" in text


def test_values_that_tell_something_are_not_called_useless(tmp_path):
    report = recording(tmp_path, lambda normal, rng: int(rng.integers(0, 4)) + 3 * normal)
    assert "the values tell something" in "\n".join(report.lines())


def test_a_file_of_ones_own_is_checked_with_the_columns_named(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(f"v{i % 5}", i, rng.normal(), i % 2, "xy"[i % 2], "ab"[i % 2]) for i in range(100)]
    path = write(tmp_path, ("id", "t", "noise", "copy", "word", "kind"), rows)
    report = check_csv(path, Columns(label="kind", client="id", time="t"))
    assert (report.name, report.label, report.num_clients) == ("csv", "kind", 5)
    assert report.split == "the last quarter by t of each id"
    assert warning(report, "copy") == "is the label in another form"
    left_out = "columns of text are no features unless --features names them: word"
    assert report.notes == ("features of a run: noise, copy", left_out, "clients of a run: 5")
    assert check_csv(path, Columns(label="kind")).split == "a quarter of the distinct rows"


def test_classes_are_called_as_the_file_has_them_and_not_all_are_listed(tmp_path):
    report = check_csv(write(tmp_path, ("x", "kind"), [(i, i % 40) for i in range(160)]), Columns(label="kind"))
    assert report.lines()[1].startswith("label kind: 0 4, 1 4, 10 4,")
    assert report.lines()[1].endswith(" and 10 more")


def test_tables_with_too_little_to_compare_are_data_errors(tmp_path):
    for rows in ([(1, "a"), (2, "b")], [(1, "a"), (1, "b")] * 9):
        with pytest.raises(DataError, match="a quarter of the distinct rows held out leave none to compare"):
            check_csv(write(tmp_path, ("x", "kind"), rows), Columns(label="kind"))
    with pytest.raises(DataError, match="no column beside kind, the label"):
        check_csv(write(tmp_path, ("kind",), [("a",), ("b",)]), Columns(label="kind"))


def test_a_file_that_a_run_would_refuse_is_still_reported(tmp_path):
    rows = [("" if i == 7 else i, "ab"[i % 2]) for i in range(20)]
    report = check_csv(write(tmp_path, ("x", "kind"), rows), Columns(label="kind"))
    assert "line 9, column x: expected a number, found an empty cell" in report.refusal
    one_owner = [(i, "ab"[i % 2], f"v{i}") for i in range(40)]
    report = check_csv(write(tmp_path, ("x", "kind", "id"), one_owner), Columns(label="kind", client="id"))
    assert "none of the 40 clients in column id has 8 rows" in report.refusal
    with pytest.raises(DataError, match="has no column sort: found x, kind"):
        check_csv(tmp_path / "t.csv", Columns(label="sort"))


TON_IOT_WITHOUT_ANYTHING = ("Fridge", "GPS_Tracker", "Garage_Door", "Modbus", "Motion_Light", "Thermostat")


@pytest.mark.parametrize("name", [*TON_IOT_WITHOUT_ANYTHING, "Weather"])
def test_of_the_real_telemetry_only_the_weather_station_has_something_to_learn(real_data, name):
    report = check_file(real_data / "ton_iot" / f"Train_Test_IoT_{name}.csv.gz")
    verdict = report.notes[-1]
    assert verdict.startswith("the values tell something" if name == "Weather" else "nothing to learn")
    assert score(report, "time (hour)") > report.majority + 0.05
    if name in ("Fridge", "Garage_Door"):
        spelled = {"Fridge": "temp_condition", "Garage_Door": "sphone_signal"}[name]
        assert warning(report, spelled) == "differs in spelling from class to class"


@pytest.mark.slow
def test_the_real_files_show_what_is_known_of_them(real_data):
    unsw = check_file(real_data / "unsw_nb15" / "UNSW_NB15_training-set.csv.gz")
    assert (unsw.rows, unsw.num_columns, len(unsw.classes)) == (65_932, 45, 10)
    assert unsw.columns[0].column == "id" and unsw.columns[0].warning
    assert unsw.copies == 0 and unsw.copies_by_row > 0.3
    ngsim = check_file(real_data / "ngsim" / "us101_trajectories_metric.csv.gz")
    assert (ngsim.rows, ngsim.num_clients) == (170_691, 296)
    assert sum(count for _, count in ngsim.classes) == 15_425
    assert ngsim.warnings == ()
