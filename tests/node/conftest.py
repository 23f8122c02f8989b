import io
import json
import sys
import threading
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # fake_superlink

PROJECT = """
[project]
name = "{name}"
version = "1.0.0"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "tests"

[tool.flwr.app.components]
serverapp = "nothing:app"
clientapp = "{clientapp}"

[tool.flwr.app.config]
rate = 0.5
"""

needs_grpc = pytest.mark.skipif(not version("flwr").startswith("1.39."), reason="nodes speak gRPC as flwr 1.39 does")


def pytest_collection_modifyitems(items):
    for item in items:
        if "superlink" in getattr(item, "fixturenames", ()):
            item.add_marker(needs_grpc)


@pytest.fixture
def bundle():
    """Make the content of a bundle: its ClientApp and its files."""

    def make(clientapp, files=(), name="stranger"):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("pyproject.toml", PROJECT.format(name=name, clientapp=clientapp))
            for path, text in dict(files).items():
                archive.writestr(path, text if isinstance(text, bytes | str) else json.dumps(text))
        return content.getvalue()

    return make


@pytest.fixture
def apps():
    from eafl_flower.node.bundles import Apps

    with Apps() as apps:
        yield apps


@pytest.fixture
def superlink():
    """A SuperLink of these tests on loopback."""
    from fake_superlink import FakeSuperLink

    with FakeSuperLink() as running:
        yield running


@pytest.fixture
def at_work(superlink, apps):
    """Start a node of the fake SuperLink in a thread; it is stopped at the end."""
    from eafl_flower.node.link import Link
    from eafl_flower.node.serving import NodeAtWork

    stop, threads = threading.Event(), []

    def start(**link):
        node = NodeAtWork({"partition-id": 1}, apps, poll_s=0.01, stop=stop)
        settings = {"superlink": superlink.address, "insecure": True, **link}
        threads.append(threading.Thread(target=node.serve, args=(Link(**settings),), daemon=True))
        threads[-1].start()
        return node

    start.stop = stop
    yield start
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
