import os
from pathlib import Path

import pytest


@pytest.fixture
def real_data():
    """Folder of the real data files, or a skip that says how to get them."""
    folder = os.environ.get("EAFL_DATA_DIR", "")
    if not folder:
        pytest.skip(
            "real data: set EAFL_DATA_DIR to a folder with geolife/, iot_device_id/, ngsim/, ton_iot/ and unsw_nb15/"
        )
    return Path(folder)
