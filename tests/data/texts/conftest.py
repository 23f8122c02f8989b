import os
from pathlib import Path

import pytest


@pytest.fixture
def real_texts():
    """Folder of the data with the folder ``text``, or a skip that says how to get it."""
    folder = os.environ.get("EAFL_DATA_DIR", "")
    if not (folder and (Path(folder) / "text").is_dir()):
        pytest.skip("real texts: set EAFL_DATA_DIR to a folder with text/, as docs/encoder.md says")
    return folder
