"""Packages whose names are imported when the first of them is asked for.

A SuperNode starts a process for every message, so that what a client does not use costs it time and energy each time.
"""

from collections.abc import Callable
from importlib import import_module


def names_of(package: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package with the names of its module ``public``, which imports them.

    None of them may be that of a module of the package: Python would find the module.
    """

    def find(name: str) -> object:
        if name == "__all__" or not name.startswith("_"):  # `import *` asks for the former
            public = import_module(f"{package}.public")
            if hasattr(public, name):
                return getattr(public, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def listed() -> list[str]:
        return sorted({*vars(import_module(package)), *import_module(f"{package}.public").__all__})

    return find, listed
