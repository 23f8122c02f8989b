import pytest
from threaded_grid import ThreadedGrid

from eafl_flower.engines import waiting
from eafl_flower.runs.loop import wall_time


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch):
    monkeypatch.setattr(wall_time, "NODE_POLL_S", 0.02)
    monkeypatch.setattr(wall_time, "REPLY_POLL_S", 0.02)
    monkeypatch.setattr(waiting, "LONGEST_POLL_NETWORK_S", 0.005)


@pytest.fixture
def deploy():
    grids = []

    def make(app, num_nodes, **options):
        grids.append(ThreadedGrid(app, num_nodes, **options))
        return grids[-1]

    yield make
    for grid in grids:
        grid.close()
