"""Packages that only some models need: an extra of ours brings them."""

from importlib import import_module

from eafl_flower.core.threads import keep_to_one_thread


def require(what: str, *modules: str, extra: str) -> None:
    """Import ``modules``, and hold torch to the threads that numpy has.

    Raises
    ------
    ModuleNotFoundError
        If one is not installed; says what needs it and which extra brings it.
    """
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            msg = f"{what} needs {module}: pip install 'eafl-flower[{extra}]'"
            raise ModuleNotFoundError(msg, name=error.name) from error
    keep_to_one_thread()
