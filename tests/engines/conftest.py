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
        if "ray_leftovers" in getattr(item, "fixturenames", ()):
            for mark in RAY_WARNINGS:
                item.add_marker(mark)


@pytest.fixture
def ray_leftovers(monkeypatch):
    """For tests that start Ray: no cluster from outside, nothing left behind, its noise allowed."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    gc.collect()  # here, where the warnings of what Ray left open are allowed
