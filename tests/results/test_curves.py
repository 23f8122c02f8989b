import math

import pytest
from recorded_logs import START, merge, run_with, trouble

from eafl_flower.errors import CheckpointError
from eafl_flower.results.curves import curves


def evaluated(number, **metrics):
    return {"event": "evaluate", "merge": number, "time_s": float(number), "wall_s": 0.0, "metrics": metrics}


def test_each_evaluation_is_a_row_with_what_had_been_spent_before_it(tmp_path):
    lost = trouble("lost", 1, 1.5)
    log = (evaluated(0, loss=2.0), merge(1), evaluated(1, loss=1.0), lost, merge(2), evaluated(2, loss=0.5))
    table = curves(run_with(tmp_path / "run", START, *log))
    assert table["merge"].tolist() == [0, 1, 2]
    assert table["time_s"].tolist() == [0.0, 1.0, 2.0]
    assert table["energy_j"].tolist() == [0.0, 0.5, 1.25]  # 0.5 a merge, 0.25 the lost job
    assert table["uplink_bytes"].tolist() == [0, 10, 30]
    assert table["downlink_bytes"].tolist() == [0, 20, 60]
    assert table["loss"].tolist() == [2.0, 1.0, 0.5]


def test_what_an_evaluation_lacks_is_not_a_number(tmp_path):
    log = (evaluated(0, loss=2.0), evaluated(1, loss=None, **{"accuracy-before": 0.5}))
    table = curves(run_with(tmp_path / "run", START, *log))
    assert math.isnan(table["loss"][1]) and math.isnan(table["accuracy-before"][0])
    assert table["accuracy-before"][1] == 0.5


def test_a_run_without_an_evaluation_has_columns_and_no_rows(tmp_path):
    table = curves(run_with(tmp_path / "run", START, merge(1)))
    assert (len(table), [*table][:3]) == (0, ["merge", "time_s", "energy_j"])


def test_a_damaged_log_is_refused(tmp_path):
    run = run_with(tmp_path / "run", START, merge(1))
    run.events_path.write_text(run.events_path.read_text().replace('"energy_j":0.5', '"energy_j":"much"'))
    with pytest.raises(CheckpointError, match="damaged at line 2: energy_j"):
        curves(run)
