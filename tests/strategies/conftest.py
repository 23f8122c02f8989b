import logging
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def quiet():
    """Flower's logger says much about each start."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(level)


@pytest.fixture
def flower_log(caplog):
    """What Flower's logger said: it does not propagate."""
    logger = logging.getLogger("flwr")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def progress_log(flower_log):
    """The same, with what it says of the progress."""
    logging.getLogger("flwr").setLevel(logging.INFO)
    return flower_log
