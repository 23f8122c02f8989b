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


@pytest.fixture(scope="module")
def two_kept_nodes(tmp_path_factory):
    """A SuperLink with two `eafl node`s, for which no process is started with every message."""
    from federation import copy_app
    from two_nodes import two_nodes

    folder = tmp_path_factory.mktemp("kept")
    copy_app(folder / "eafl-flower")
    yield from two_nodes(folder / "federation", kept=True)


@pytest.fixture
def federation(two_stock_nodes):
    """``two_stock_nodes``; a failed test shows what the processes wrote."""
    yield two_stock_nodes
    print(two_stock_nodes.logs())


@pytest.fixture(params=["kept", pytest.param("stock", marks=pytest.mark.long)])
def nodes(request):
    """Two nodes that keep their model, or two SuperNodes; a failed test shows what the processes wrote."""
    federation = request.getfixturevalue(f"two_{request.param}_nodes")
    federation.kept = request.param == "kept"
    yield federation
    print(federation.logs())
