"""What a user may hang into a run, and which of Flower's own places for it do not exist here.

Flower's strategies are changed by overriding their four steps of a round. An asynchronous run has no rounds, so
an override would never be called: it is an error, which names the argument that does the same.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, NoReturn

from flwr.app import ArrayRecord, ConfigRecord

from eafl_flower.errors import ConfigError

OnDispatch = Callable[[int, ConfigRecord], None]
OnMerge = Callable[[int, Mapping[str, Any]], None]
OnEvaluate = Callable[[int, ArrayRecord, Mapping[str, float]], None]

INSTEAD: Final = {
    "configure_train": "on_dispatch=f(server_round, config), which may change the job's config (a learning-rate "
    "schedule); fraction_train and concurrency say how many train",
    "aggregate_train": "on_merge=f(merge, event), called after each merge, or train_metrics_aggr_fn",
    "configure_evaluate": "evaluate_config of start(), fraction_evaluate and evaluate_every",
    "aggregate_evaluate": "on_evaluate=f(number, arrays, scores), called after each evaluation (keep the best model, "
    "send scores to a tracker), or evaluate_metrics_aggr_fn",
}

# Settings of Flower's other strategies and of its legacy API, and what they are called here.
CALLED_HERE: Final = {
    "fraction_fit": "fraction_train",
    "min_fit_clients": "min_train_nodes",
    "min_evaluate_clients": "min_evaluate_nodes",
    "min_available_clients": "min_available_nodes",
    "evaluate_fn": "evaluate_fn of start()",
    "on_fit_config_fn": "on_dispatch",
    "on_evaluate_config_fn": "evaluate_config of start()",
    "initial_parameters": "initial_arrays of start()",
    "fit_metrics_aggregation_fn": "train_metrics_aggr_fn",
    "evaluate_metrics_aggregation_fn": "evaluate_metrics_aggr_fn",
    "accept_failures": "error_budget",
    "num_rounds": "num_rounds of start()",
    "network": "radio and processors",
}


def refuse_overrides(kind: type, base: type) -> None:
    """Raise ``ConfigError`` if ``kind`` overrides a step of a round that ``base`` never calls."""
    wrong = [
        f"{kind.__name__} overrides {name}, which is never called, for there are no rounds: give {instead}"
        for name, instead in INSTEAD.items()
        if getattr(kind, name) is not getattr(base, name)
    ]
    if wrong:
        raise ConfigError("; ".join(wrong))


def refuse_unknown(kind: type, given: Iterable[str], known: Collection[str]) -> None:
    """Raise ``ConfigError`` if ``given`` has settings that are not among those ``known``."""
    unknown = sorted(set(given) - set(known))
    if not unknown:
        return
    renamed = [f"{name} is called {CALLED_HERE[name]} here" for name in unknown if name in CALLED_HERE]
    near = [match for name in unknown for match in get_close_matches(name, known, n=1, cutoff=0.8)]
    if len(renamed) == len(unknown):
        hint = "; ".join(renamed)
    else:
        hint = f"did you mean {', '.join(near)}?" if len(near) == len(unknown) else f"it has {', '.join(known)}"
    msg = f"{kind.__name__} has no setting {', '.join(unknown)}; {hint}"
    raise ConfigError(msg)


def refuse_legacy(kind: type) -> NoReturn:
    """Raise ``ConfigError``: the strategy was given to Flower's legacy API."""
    msg = (
        f"{kind.__name__} is a strategy of Flower's Message API, and server_fn (ServerAppComponents, start_server) is "
        "the legacy one: write @app.main() with def main(grid, context), and call "
        f"{kind.__name__}(...).start(grid, initial_arrays, num_rounds=...) there"
    )
    raise ConfigError(msg)
