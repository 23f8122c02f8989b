"""Packages that only some models need: an extra of ours brings them."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from eafl_flower.core.threads import keep_to_one_thread
from eafl_flower.core.words import reason
from eafl_flower.errors import ConfigError

_WITH_TORCHVISION = ("timm", "transformers", "peft")  # import it, the latter two where it is installed
_OPERATORS = ("nms", "qnms")  # whose results' shapes torchvision states even where its compiled part is not loaded
_ABSENT = "operator torchvision::"
_declared: list[Any] = []  # libraries of torch, which last as long as they are held


def require(what: str, *modules: str, extra: str) -> None:
    """Import ``modules``, and hold torch to the threads that numpy has.

    Raises
    ------
    ModuleNotFoundError
        If one is not installed; says what needs it and which extra brings it.
    ConfigError
        If a torchvision is installed that cannot be imported beside this torch.
    """
    for module in modules:
        if module in _WITH_TORCHVISION and find_spec("torchvision"):
            import_torchvision(what)
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            msg = f"{what} needs {module}: pip install 'eafl-flower[{extra}]'"
            raise ModuleNotFoundError(msg, name=error.name) from error
    keep_to_one_thread()


def import_torchvision(what: str) -> None:
    """Import torchvision, without its compiled operators if they are of another build than torch.

    A torch for the CPU cannot load the compiled part of the torchvision of PyPI, which is built for CUDA. The rest of
    torchvision would do, but states the shapes of two operators that do not exist then, and so cannot be imported. They
    find boxes of objects; encoders of images have no use for them. Here they are declared. To call them stays an error
    of torchvision's.

    Raises
    ------
    ConfigError
        If it cannot be imported all the same.
    """
    try:
        try:
            import_module("torchvision")
        except RuntimeError as error:
            if not str(error).startswith(_ABSENT):
                raise
            _declare_operators()
            import_module("torchvision")
    except Exception as error:  # a torchvision for another torch fails in many ways
        remedy = "install torch and torchvision of one build, both for the CPU or both for CUDA"
        raise ConfigError(f"{what}: torchvision cannot be imported beside torch ({reason(error)}): {remedy}") from error


def _declare_operators() -> None:
    torch: Any = import_module("torch")  # whose libraries have no types
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
