import pytest

from eafl_flower.app.adapter_times import Shape, machine, measure_table
from eafl_flower.energy import StepTime
from eafl_flower.errors import ConfigError


def test_a_table_has_a_line_for_each_shape(monkeypatch):
    pytest.importorskip("peft", reason="needs peft: pip install 'eafl-flower[lora]'")
    # which line, is a matter of the machine
    line = StepTime(seconds_per_step=0.01, seconds_per_rank=0.001, residual=0.0)
    monkeypatch.setattr("eafl_flower.energy.finetuning.fit_step_time", lambda ranks, seconds: line)
    told = []
    table = measure_table(
        [Shape(layers=1, width=16, heads=2, vocabulary=50)],
        ranks=(2, 4),
        batch_size=2,
        length=4,
        repeats=1,
        on_shape=lambda title, entry: told.append(title),
    )
    entry = table["encoders"]["bert 1 x 16"]
    assert told == ["bert 1 x 16"]
    assert entry["seconds_by_rank"].keys() == {"2", "4"}
    assert entry["whole_s"] >= 0
    assert entry["seconds_per_step"] == 0.01
    assert table["batch_size"] == 2


def test_the_machine_is_told_without_its_name():
    import platform

    assert platform.node() not in machine().values()


@pytest.mark.parametrize("given", [{"ranks": (4,)}, {"ranks": (0, 4)}, {"repeats": 0}])
def test_what_cannot_be_measured_is_refused(given):
    with pytest.raises(ConfigError, match="expected two different ranks"):
        measure_table(**given)
