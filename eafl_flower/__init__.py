"""Asynchronous, energy-aware federated learning on Flower.

A strategy takes the place of ``FedAvg`` in a ServerApp of Flower's Message API; the ClientApp stays as it is:

    from eafl_flower import AsyncEMAM
    result = AsyncEMAM(concurrency=10).start(grid, initial_arrays, num_rounds=20)

A codec makes payloads small, with a mod in the ClientApp and the same codec in the strategy:

    app = ClientApp(mods=[compression_mod(Int8Codec())])    # client
    strategy = AsyncEMAM(codec=Int8Codec())                 # server; Compressed(FedAvg(), codec) around Flower's own

What there is, each with a docstring of its own (``help(eafl_flower.AsyncEMAM)``):

strategies
    ``AsyncEMAM`` merges each update when it arrives, ``EMAM`` in rounds. ``EMQ`` keeps budgets of energy and latency
    over a cell-free uplink (``CellFree``). ``UCBDual`` lets vehicles choose ranks of adapters (``UCBDualScheduler``).
    ``FederatedAlignment`` aligns latent spaces over MIMO channels (``Alignment``). ``Compressed`` stands around any
    strategy of Flower's. ``AsynchronousStrategy`` is for a merge rule of your own. ``RunOptions`` says which keywords
    all of ours take (``Options`` for type checkers), ``StopRule`` when a run ends early.
codecs
    ``Float32Codec``, ``Int8Codec``, ``EMQCodec``, ``LQGCMCodec``, ``LAQCodec``, ``AQUILACodec``
clients
    ``compression_mod``, ``answering_mod``, ``durable_state_mod``; ``numpy_client_app`` makes an app of a NumPyClient,
    ``finetune_app`` and ``alignment_app`` are the other sides of ``UCBDual`` and ``FederatedAlignment``
to try and to test
    ``InlineGrid`` runs a ClientApp in this process. ``check_codec``, ``check_difference_codec`` and
    ``check_aggregator`` test parts of your own. Errors are an ``EAFLError``, wrong settings a ``ConfigError``.

Nothing of this is imported before it is asked for. ``eafl --help`` is the command line.
"""

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it for true; typing itself would be most of the time of the import
if TYPE_CHECKING:
    from eafl_flower.alignment import Alignment
    from eafl_flower.clients import (
        alignment_app,
        answering_mod,
        compression_mod,
        durable_state_mod,
        finetune_app,
        numpy_client_app,
    )
    from eafl_flower.codecs import AQUILACodec, EMQCodec, Float32Codec, Int8Codec, LAQCodec, LQGCMCodec
    from eafl_flower.conformance import check_aggregator, check_codec, check_difference_codec
    from eafl_flower.engines import InlineGrid
    from eafl_flower.errors import ConfigError, EAFLError
    from eafl_flower.power.cell_free_radio import CellFree
    from eafl_flower.ranks.scheduler import UCBDualScheduler
    from eafl_flower.strategies import (
        EMAM,
        EMQ,
        AsyncEMAM,
        AsynchronousStrategy,
        Compressed,
        FederatedAlignment,
        Options,
        RunOptions,
        StopRule,
        UCBDual,
    )

# Of the code itself: an app bundle carries no metadata, and those of an editable install may be older.
__version__ = "0.2.0"

__all__ = [
    "EMAM",
    "EMQ",
    "AQUILACodec",
    "Alignment",
    "AsyncEMAM",
    "AsynchronousStrategy",
    "CellFree",
    "Compressed",
    "ConfigError",
    "EAFLError",
    "EMQCodec",
    "FederatedAlignment",
    "Float32Codec",
    "InlineGrid",
    "Int8Codec",
    "LAQCodec",
    "LQGCMCodec",
    "Options",
    "RunOptions",
    "StopRule",
    "UCBDual",
    "UCBDualScheduler",
    "__version__",
    "alignment_app",
    "answering_mod",
    "check_aggregator",
    "check_codec",
    "check_difference_codec",
    "compression_mod",
    "durable_state_mod",
    "finetune_app",
    "numpy_client_app",
]

_NAMES = {  # the same as above; a test compares them
    "alignment": ("Alignment",),
    "clients": (
        *("alignment_app", "answering_mod", "compression_mod", "durable_state_mod", "finetune_app"),
        "numpy_client_app",
    ),
    "codecs": ("AQUILACodec", "EMQCodec", "Float32Codec", "Int8Codec", "LAQCodec", "LQGCMCodec"),
    "conformance": ("check_aggregator", "check_codec", "check_difference_codec"),
    "engines": ("InlineGrid",),
    "errors": ("ConfigError", "EAFLError"),
    "power.cell_free_radio": ("CellFree",),
    "ranks.scheduler": ("UCBDualScheduler",),
    "strategies": (
        *("EMAM", "EMQ", "AsyncEMAM", "AsynchronousStrategy", "Compressed", "FederatedAlignment", "Options"),
        *("RunOptions", "StopRule", "UCBDual"),
    ),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # a checker that saw it would take any name for one of ours

    def __getattr__(name: str) -> object:
        """Import a name, or a part of the package, when it is asked for first."""
        if name in _HOME:
            value = getattr(import_module(f"eafl_flower.{_HOME[name]}"), name)
        elif name in {home.partition(".")[0] for home in _NAMES}:
            value = import_module(f"eafl_flower.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
