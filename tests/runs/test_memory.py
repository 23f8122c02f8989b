"""What a run holds does not grow with its merges."""

import gc
import sys
from itertools import count

import pytest
from flwr.app import MetricRecord
from toy_federation import network, run_toy, toy_app

from eafl_flower.codecs import Int8Codec
from eafl_flower.runs import state as run_module
from eafl_flower.runs.scoring.train_metrics import TrainMetrics
from eafl_flower.strategies import EMAM, AsyncEMAM

FIRST, LAST = 800, 1600  # by the first the caches are full


class Forgets:
    """An observer that keeps nothing."""

    def write(self, event):
        pass

    def close(self):
        pass


def everything():
    """Churn, deadlines, a codec with a memory, and clients of different speed."""
    codec = Int8Codec(block_size=4)
    return {
        "app": toy_app(codec=codec),
        "codec": codec,
        "on_job_times": 20.0,
        "off_job_times": 5.0,
        "deadline_s": 60.0,
        **network(slowdown=(1.0, 3.0)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"strategy": EMAM}, everything()], ids=["defaults", "barrier", "everything"])
def test_memory_does_not_grow_with_the_merges(options, monkeypatch):
    """A run that keeps one object for each merge has one more block of memory for each."""
    monkeypatch.setattr(run_module, "NEWEST_KEPT", 20)
    updates, blocks = count(1), {}

    def look(merge, event):
        if (number := next(updates)) in (FIRST, LAST):
            gc.collect()
            blocks[number] = sys.getallocatedblocks()

    strategy = options.get("strategy", AsyncEMAM)
    merges = LAST // 4 if strategy is EMAM else LAST
    run_toy(4, merges, recorder=Forgets(), on_merge=look, evaluate_clients=False, **options)
    assert blocks[LAST] - blocks[FIRST] < (LAST - FIRST) / 2


def test_of_merges_the_newest_records_are_kept(monkeypatch):
    monkeypatch.setattr(run_module, "NEWEST_KEPT", 5)
    run, _ = run_toy(3, 12)
    assert list(run.result.train_metrics_clientapp) == [8, 9, 10, 11, 12]


def test_of_rounds_worth_all_records_are_kept_each_the_weighted_mean():
    metrics = TrainMetrics(None, "weight", keep=0)
    for number in range(1, 8):
        metrics.note({"loss": 1.0, "rare": 5.0}, 1.0)
        metrics.note({"loss": 4.0}, 2.0)
        assert metrics.close(number) == MetricRecord({"loss": 3.0, "rare": 5.0})
        assert metrics.close(number) is None
    assert list(metrics.records) == [1, 2, 3, 4, 5, 6, 7]
    metrics.note({"loss": 1.0}, 0.0)
    metrics.note({"loss": 3.0}, 0.0)
    assert metrics.close(8) == MetricRecord({"loss": 2.0})  # nobody has examples: all weigh alike
