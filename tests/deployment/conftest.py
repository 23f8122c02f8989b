import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `federation`


@pytest.fixture(scope="module")
def two_stock_nodes(tmp_path_factory):
    """A SuperLink with two SuperNodes, in an environment without eafl-flower: what runs there is the app bundle."""
    from empty_environment import make_environment
    from federation import copy_app
    from two_nodes import two_nodes

    folder = tmp_path_factory.mktemp("wires")
    copy_app(folder / "eafl-flower")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("federation.BIN", make_environment(folder / "environment"))
        yield from two_nodes(folder / "federation")


@pytest.fixture
def federation(two_stock_nodes):
    """``two_stock_nodes``; a failed test shows what the processes wrote."""
    yield two_stock_nodes
    print(two_stock_nodes.logs())
