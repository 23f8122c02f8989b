"""Which ClientApp answers for a run: that of the run's own bundle, loaded once and kept.

A SuperNode unpacks the bundle of a run and imports its ClientApp in a process of its own. Here all is one process, in
which ``eafl_flower`` is imported already and cannot be there twice. So:

- What a bundle carries of ``eafl_flower`` must be what is installed, file by file; another one is refused. Then the
  installed one *is* that of the bundle, and what it computes is what a SuperNode would compute.
- All else of a bundle is unpacked and imported from there. Its modules, with all that they keep, stay until a run
  brings another bundle; then they make room for it.
"""

import hashlib
import importlib
import sys
import tempfile
import threading
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from flwr.clientapp import ClientApp

import eafl_flower
from eafl_flower.core.excerpt import excerpt, excerpts
from eafl_flower.errors import ProtocolError

OURS = "eafl_flower"
_CARRIED = (".py", ".toml", ".json")  # kinds of files that a bundle carries


class Apps:
    """ClientApps of the bundles that came, each loaded when its first message does; for all nodes of a process.

    At the end of ``with`` they are forgotten, and what was unpacked is deleted.
    """

    def __init__(self) -> None:
        # As it is now: what is installed over it later does not change the modules that are loaded.
        self._installed = _digests_of(Path(eafl_flower.__file__).parent)
        self._apps: dict[str, ClientApp | str] = {}  # by bundle; a text: why it is refused
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> "Apps":
        return self

    def __exit__(self, *error: object) -> None:
        self._make_room()

    def app_of(self, name: str, bundle: bytes, sha256: str) -> ClientApp:
        """Return the ClientApp of a bundle; the same bundle gives the same object, or the same refusal.

        Parameters
        ----------
        name
            What the app calls itself, for messages.
        bundle, sha256
            Content of the ``.fab`` file, and its digest.

        Raises
        ------
        ProtocolError
            If the bundle carries another ``eafl_flower`` than is installed, or its ClientApp cannot be imported.
        """
        with self._lock:
            if sha256 not in self._apps:
                try:
                    app: ClientApp | str = self._load(bundle)
                except ProtocolError as error:
                    app = str(error)
                except Exception as error:  # the app's own code is imported
                    app = f"it cannot be loaded ({type(error).__name__}: {error})"
                self._apps[sha256] = app
            app = self._apps[sha256]
        if isinstance(app, str):
            raise ProtocolError(f"{excerpt(name)} does not run on this node: {app}")
        return app

    def _load(self, bundle: bytes) -> ClientApp:
        with zipfile.ZipFile(BytesIO(bundle)) as archive:
            names = [n for n in archive.namelist() if n.startswith(f"{OURS}/") and n.endswith(_CARRIED)]
            self._check({name: hashlib.sha256(archive.read(name)).hexdigest() for name in names})
            project = tomllib.loads(archive.read("pyproject.toml").decode())
            reference = str(project["tool"]["flwr"]["app"]["components"]["clientapp"])
            module, _, attribute = reference.partition(":")
            if module.partition(".")[0] == OURS:
                return _client_app(importlib.import_module(module), attribute, reference)
            self._make_room()
            self._folder = tempfile.TemporaryDirectory(prefix="eafl-node-")
            archive.extractall(self._folder.name)
        folder = Path(self._folder.name)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        loaded = importlib.import_module(module)
        if not _lies_in(loaded, folder):
            raise ProtocolError(
                f"its module {excerpt(module)} has the name of one that is here already "
                f"({getattr(loaded, '__file__', None)}): give it another name"
            )
        return _client_app(loaded, attribute, reference)

    def _check(self, carried: dict[str, str]) -> None:
        """Refuse another ``eafl_flower`` than is installed; a bundle without any has nothing to compare."""
        names = carried.keys() | self._installed
        differ = sorted(name for name in names if carried.get(name) != self._installed.get(name))
        if carried and differ:
            raise ProtocolError(
                f"it carries another eafl_flower than the {eafl_flower.__version__} that is installed here, "
                f"{excerpts(differ, most=3)} differ; install here what `flwr run` was started from and start the node "
                "again, or start flower-supernode, which takes any"
            )

    def _make_room(self) -> None:
        """Forget all apps, and the modules of the bundle that was unpacked last."""
        self._apps.clear()
        if self._folder is None:
            return
        folder = Path(self._folder.name)
        for name in [name for name, module in sys.modules.items() if _lies_in(module, folder)]:
            del sys.modules[name]
        sys.path[:] = [entry for entry in sys.path if entry != str(folder)]
        self._folder.cleanup()
        self._folder = None


def _client_app(module: ModuleType, attribute: str, reference: str) -> ClientApp:
    app: Any = module
    for name in attribute.split("."):
        app = getattr(app, name, None)
    if not isinstance(app, ClientApp):
        raise ProtocolError(f"its clientapp {excerpt(reference)} is a {type(app).__name__}: expected a ClientApp")
    return app


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", []))  # a package without __init__ has no file
    return any(Path(place).is_relative_to(folder) for place in places)


def _digests_of(package: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of the package that a bundle would carry, by its name there."""
    files = [path for path in package.rglob("*") if path.suffix in _CARRIED]
    return {f"{OURS}/{f.relative_to(package).as_posix()}": hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
