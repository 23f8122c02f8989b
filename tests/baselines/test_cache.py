from pathlib import Path

import pytest

from eafl_flower.baselines.cache import BaselineCache, collect_baselines
from eafl_flower.config import RunConfig

CHEAP = {"majority": {"accuracy-before": 0.6}, "lookup": {"accuracy-before": 0.65}}
TRAINED = {
    "no_communication": {"accuracy-before": 0.66}, "exact": {"accuracy-before": 0.75}, "pooled": {"mse-before": 9.5},
}  # fmt: skip


class Calculation:
    def __init__(self, result):
        self.result, self.calls = result, 0

    def __call__(self):
        self.calls += 1
        return self.result


@pytest.fixture
def collect(tmp_path):
    def run(which="all", *, data="d", **settings):
        flat = {key.replace("__", ".").replace("_", "-"): value for key, value in settings.items()}
        found = collect_baselines(
            which, config=RunConfig().replace(flat), data_sha256=data, cheap=run.cheap, trained=run.trained,
            cache=BaselineCache(tmp_path / "cache"),
        )  # fmt: skip
        return found

    run.cheap, run.trained, run.folder = Calculation(CHEAP), Calculation(TRAINED), tmp_path / "cache"
    return run


def test_all_are_calculated_once(collect):
    assert collect() == CHEAP | TRAINED
    assert collect() == CHEAP | TRAINED
    assert (collect.cheap.calls, collect.trained.calls) == (1, 1)


def test_cheap_leaves_out_training(collect):
    assert collect("cheap") == CHEAP | dict.fromkeys(TRAINED)
    assert collect.trained.calls == 0


def test_none_calculates_nothing(collect):
    assert set(collect("none").values()) == {None}
    assert (collect.cheap.calls, collect.trained.calls) == (0, 0)


@pytest.mark.parametrize(
    "changed", [{"task__learning_rate": 0.5}, {"strategy__merges": 7}, {"radio__constant_rate__uplink_power_w": 1}]
)
def test_what_changes_the_exact_run_is_calculated_anew(collect, changed):
    collect()
    collect(**changed)
    assert (collect.cheap.calls, collect.trained.calls) == (1, 2)


@pytest.mark.parametrize("changed", [{"seed": 2}, {"data__unseen": 3}, {"data": "other rows"}])
def test_other_rows_need_all_anew(collect, changed):
    collect()
    collect(**changed)
    assert (collect.cheap.calls, collect.trained.calls) == (2, 2)


@pytest.mark.parametrize(
    "changed",
    [{"name": "x"}, {"codec__name": "none"}, {"engine__name": "ray"}, {"results__dir": "elsewhere"},
     {"data__dir": "moved"}, {"job__error_budget": 3}],
)  # fmt: skip
def test_what_exact_updates_do_not_depend_on_changes_nothing(collect, changed):
    collect()
    collect(**changed)
    assert (collect.cheap.calls, collect.trained.calls) == (1, 1)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"majority": 1}', '{"majority": {"before": "x"}}', "{}"])
def test_a_damaged_cache_file_is_ignored_and_written_anew(collect, content):
    collect()
    for path in collect.folder.iterdir():
        path.write_text(content)
    assert collect() == CHEAP | TRAINED
    assert collect() == CHEAP | TRAINED
    assert (collect.cheap.calls, collect.trained.calls) == (2, 2)


def test_a_cache_that_cannot_be_written_is_done_without(collect):
    collect.folder.touch()  # a file where the folder should be
    assert collect() == CHEAP | TRAINED


def test_the_users_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert BaselineCache.of_user().folder == tmp_path / "eafl-flower" / "baselines"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert BaselineCache.of_user().folder == Path(tmp_path, "home", ".cache", "eafl-flower", "baselines")
