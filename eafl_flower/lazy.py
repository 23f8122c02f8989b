"""Packages whose names are imported when the first of them is asked for.

A SuperNode starts a process for every message, so that what a client does not use costs it time and energy each time.
"""

from collections.abc import Callable
from importlib import import_module


def names_of(package: str) -> Callable[[str], object]:
    """Return ``__getattr__`` of a package that has the names of its module ``public``, which imports them all.

    None of them may be that of a module of the package: Python would find the module.
    """

    def find(name: str) -> object:
        # "__all__" is asked for by `import *`; a module of the package is imported by whoever names it
        names = import_module(f"{package}.public") if name == "__all__" or not name.startswith("_") else None
        if not hasattr(names, name):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(names, name)

    return find
