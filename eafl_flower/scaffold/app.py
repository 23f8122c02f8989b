"""A Flower app of the user's own, as Flower's templates write them, with our three lines in it.

The files of an app are texts beside this module: ``both`` has those of every framework. They hold ``string.Template``
placeholders and end in ``.txt``, so that nothing takes them for modules of this package.
"""

import keyword
import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final

from eafl_flower import __version__
from eafl_flower.core.durable import open_unlinked
from eafl_flower.core.words import shown
from eafl_flower.errors import ConfigError

FLWR: Final = "1.39.0"  # what apps are tested with, as in our own pyproject.toml
_LONGEST: Final = 32  # letters of an app's name, by Flower
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
_PUBLISHER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LEFT_OUT: Final = ("build", "eggs", "env", "lib", "lib64", "parts", "venv")  # folders that Flower does not bundle
_MODULES: Final = ("client_app.py", "server_app.py", "task.py")


class Framework(StrEnum):
    """What the app's model is made with."""

    TORCH = "torch"
    SKLEARN = "sklearn"

    @property
    def library(self) -> str:
        """Its name as people write it."""
        return {"torch": "PyTorch", "sklearn": "scikit-learn"}[self.value]

    @property
    def needs(self) -> Mapping[str, str]:
        """Modules that the app imports or Flower's simulation needs, and the packages they are in."""
        torch = {"torch": "torch"} if self is Framework.TORCH else {}
        return {"sklearn": "scikit-learn", **torch, "ray": "ray"}


def default_framework() -> Framework:
    """Return PyTorch where it is installed, and scikit-learn where it is not."""
    return Framework.TORCH if find_spec("torch") else Framework.SKLEARN


def missing(framework: Framework) -> list[str]:
    """Return the packages that are not installed here and that an app needs to run."""
    return [package for module, package in framework.needs.items() if not find_spec(module)]


def write_app(folder: Path, *, framework: Framework, publisher: str) -> list[Path]:
    """Write an app into ``folder``, whose name becomes its own, and return the files.

    Parameters
    ----------
    folder
        A new or empty folder. The package in it has its name in small letters, with ``_`` for ``-``.
    framework
        What the model is made with.
    publisher
        Who publishes the app, as Flower calls it.

    Raises
    ------
    ConfigError
        If the name cannot be that of an app and a package, the folder is not empty, or the publisher is no name.
    OSError
        If a file cannot be written.
    """
    folder = folder.resolve()
    package = package_of(folder.name)
    if not _PUBLISHER.fullmatch(publisher):
        msg = f"publisher {shown(publisher)}: expected 1 to 64 letters, digits, - or _, the first a letter or digit"
        raise ConfigError(msg)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"{folder} is not empty: expected a new or empty folder"
        raise ConfigError(msg)
    values = {
        "name": folder.name.lower(),
        "package": package,
        "publisher": publisher,
        "library": framework.library,
        "version": __version__,
        "flwr": FLWR,
    }
    texts = files("eafl_flower.scaffold")
    sources = {
        "pyproject.toml": texts / framework / "pyproject.toml.txt",
        "README.md": texts / "both" / "README.md.txt",
        "LICENSE": texts / "both" / "LICENSE.txt",
        ".gitignore": texts / "both" / "gitignore.txt",
        f"{package}/__init__.py": texts / "both" / "__init__.py.txt",
        **{f"{package}/{module}": texts / framework / f"{module}.txt" for module in _MODULES},
    }
    (folder / package).mkdir(parents=True)
    for name, source in sources.items():
        with open_unlinked(folder / name, "w") as file:
            file.write(Template(source.read_text(encoding="utf-8")).substitute(values))
    return [folder / name for name in sources]


def package_of(name: str) -> str:
    """Return the package of an app with this name.

    Raises
    ------
    ConfigError
        If it cannot be the name of an app or of a package of its own.

    Examples
    --------
    >>> package_of("My-app")
    'my_app'
    """
    package = name.lower().replace("-", "_")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        instead = re.sub(r"[^A-Za-z0-9]+", "-", name).lstrip("-0123456789")[:_LONGEST].rstrip("-")
        msg = (
            f"an app cannot be called {shown(name)}: Flower takes a letter first, then letters, digits and single "
            f"hyphens, {_LONGEST} at most{f', as in {instead}' if instead else ''}"
        )
        raise ConfigError(msg)
    if keyword.iskeyword(package) or package in _LEFT_OUT or _is_module(package):
        msg = f"an app cannot be called {name}: its package {package} would be taken for another, or left out by Flower"
        raise ConfigError(f"{msg}; expected a name that no module has, as in my-{name}")
    return package


def _is_module(name: str) -> bool:
    """Whether Python would find a module of this name, loaded or not; a folder without ``__init__.py`` is none."""
    found = (finder.find_spec(name, None) for finder in sys.meta_path)
    return name in sys.stdlib_module_names or any(spec is not None and spec.origin is not None for spec in found)
