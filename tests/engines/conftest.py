import gc
import sys
from pathlib import Path

import pytest

# Workers of Ray unpickle the clients by module name, so these must be importable there, as "tiny_clients".
sys.path.insert(0, str(Path(__file__).parent))

RAY_WARNINGS = (
    # Ray leaves its children and their /dev/null to the garbage collector
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
)


def pytest_collection_modifyitems(items):
    for item in items:
        if {"one_ray", "ray_leftovers"} & set(getattr(item, "fixturenames", ())):
            for mark in RAY_WARNINGS:
                item.add_marker(mark)


@pytest.fixture
def ray_leftovers(monkeypatch):
    """For tests that start Ray: no cluster from outside, none before, nothing left behind, its noise allowed."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    _end_ray()
    yield
    _end_ray()


@pytest.fixture(scope="module")
def _ray_of_the_module():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        yield
        _end_ray()


@pytest.fixture
def one_ray(_ray_of_the_module):
    """A Ray that the tests of a module share, as long as none between them needs it gone: each has its own workers."""
    import ray

    from eafl_flower.engines.ray_cluster import connect

    connect("local", verbose=False)  # does nothing where it is connected
    return ray


def _end_ray():
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    gc.collect()  # here, where the warnings of what Ray left open are allowed
