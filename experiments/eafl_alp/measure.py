"""What is measured of one configuration: scores, bytes, virtual time, energy, and the curve on the way."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord
from numpy.typing import NDArray

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.baselines.no_communication import no_communication
from eafl_flower.baselines.pooled import pool_of, pooled, steps_of
from eafl_flower.clients.numpy_client import HEAD
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Event
from eafl_flower.core.rng import generator
from eafl_flower.core.threads import one_thread
from eafl_flower.data.lookup import lookup_scores, majority_scores
from eafl_flower.engines import InlineGrid
from eafl_flower.heads.size import size_of
from eafl_flower.protocols import DataSource
from eafl_flower.runs.scoring.evaluation import evaluate_on_clients
from eafl_flower.runs.scoring.means import robust_means
from eafl_flower.runs.state import Run
from eafl_flower.wire.arrays import arrays_of
from eafl_flower.wire.notes import Notes

SCORES = {phase: f"accuracy-{phase}" for phase in ("before", "after", "unlabelled", "unseen")}
LONGER = 4  # times the epochs of the run, for clients that have only themselves to train with
AFTER = ConfigRecord({"after-training": True})
SLOWEST = 2  # the clients with the two largest slowdown factors are scored apart


class _Notes:
    """What the events of a run tell."""

    def __init__(self) -> None:
        self.merges: list[Event] = []
        self.curve: list[list[float]] = []
        self.energy_j = 0.0

    @property
    def by_client(self) -> Counter[int]:
        """How often each client's update was merged."""
        return Counter(event["client"] for event in self.merges)

    def total(self, *names: str, later: bool = False) -> int:
        """Return the sum of fields over all merged uploads, or over all but each client's first."""
        return sum(event[name] for event in self.merges for name in names if event["counter"] > 1 or not later)

    def write(self, event: Event) -> None:
        self.energy_j += event.get("energy_j", 0.0)
        if event["event"] == "merge":
            self.merges.append(event)
        elif event["event"] == "evaluate":
            scores = event["metrics"]
            values = [scores.get(SCORES[name], float("nan")) for name in ("before", "unseen")]
            loss = scores.get("loss", float("nan"))
            self.curve.append([event["merge"], event["time_s"], *values, loss, self.energy_j])

    def close(self) -> None:
        """Nothing is open."""


def federated(config: RunConfig) -> dict[str, Any]:
    """Run ``config`` and return its scores and what they cost.

    Bytes are those of merged uploads and of their downloads. ``saved`` compares with float32 values: ``payload`` and
    ``framed`` of the uploads, ``both_ways`` of both directions with framing, without each client's first job, before
    which it does not know the model.
    """
    notes = _Notes()
    return _summary(config, *_trained(config, notes), notes)


def exact_and_alone(config: RunConfig) -> dict[str, Any]:
    """Run ``config``, then the clients of it without each other; add what needs no training.

    ``none`` is the run without communication: each client trains its complete model for as many epochs as it made
    in the run; ``none, longer`` four times that. ``frozen`` trains only the heads, on the backbone of the start.
    """
    notes = _Notes()
    result = _summary(config, *_trained(config, notes), notes)
    workload, source = resolve(config).workload, resolve(config).source
    epochs = {client: merges * workload.local_epochs for client, merges in notes.by_client.items()}
    settings = {"local_epochs": workload.local_epochs, "unseen_steps": workload.unseen_steps}
    result["none"] = _named(no_communication(workload.task, source, epochs, seed=config.seed, **settings))
    longer = {client: LONGER * passes for client, passes in epochs.items()}
    result["none, longer"] = _named(no_communication(workload.task, source, longer, seed=config.seed, **settings))
    result["frozen"] = _heads_alone(config, epochs)
    result["majority"] = _seen_and_unseen(majority_scores(source))
    result["lookup"] = _seen_and_unseen(lookup_scores(source)[1])
    return result


def pooled_rows(config: RunConfig) -> dict[str, Any]:
    """Run ``config``, then train one model on all rows for as many steps as its clients made together.

    ``exact`` is what the run itself scored, ``steps`` how many steps these are.
    """
    notes, workload, source = _Notes(), resolve(config).workload, resolve(config).source
    run, _ = _trained(config.replace({"evaluate.every": 0}), notes)
    epochs = {client: merges * workload.local_epochs for client, merges in notes.by_client.items()}
    settings = {"local_epochs": workload.local_epochs, "unseen_steps": workload.unseen_steps}
    exact = _scored(run, sorted(run.jobs.members))
    return {
        **_named(pooled(workload.task, source, epochs, seed=config.seed, **settings)),
        "exact": _named(exact),
        "steps": steps_of(workload.task, source, epochs),
        "uploads": len(notes.merges),
    }


def boosted_rows(config: RunConfig) -> dict[str, Any]:
    """Return what gradient boosting with the library's default settings scores that was fitted to all rows at once.

    It has one model for everybody and adapts to nobody: *before* and *after* are the same, and so are the two scores
    of unseen clients.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    source = resolve(config).source
    pool = pool_of(source)
    model = HistGradientBoostingClassifier(random_state=config.seed).fit(pool.x_train, pool.y_train)
    right: dict[str, list[NDArray[np.bool_]]] = {"seen": [], "unseen": []}
    for client in range(source.num_clients):
        rows = source.partition(client)
        if len(rows.y_test):
            kind = "seen" if client < source.num_seen else "unseen"
            right[kind].append(model.predict(rows.x_test) == rows.y_test)
    seen, unseen = (float(np.concatenate(right[kind]).mean()) for kind in ("seen", "unseen"))
    return {"before": seen, "after": seen, "unlabelled": unseen, "unseen": unseen}


def rows_of(source: DataSource) -> dict[str, int]:
    """Return how much data there is: clients, unseen ones, rows to train and to score on."""
    parts = [source.partition(i) for i in range(source.num_clients)]
    return {
        "clients": source.num_clients,
        "unseen": source.num_clients - source.num_seen,
        "train_rows": sum(len(rows.y_train) for rows in parts),
        "test_rows": sum(len(rows.y_test) for rows in parts),
        "features": len(source.feature_names),
        "classes": len(source.class_names),
    }


def _trained(config: RunConfig, notes: _Notes) -> tuple[Run, InlineGrid]:
    one_thread()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    grid = InlineGrid(client_app(resolve(config)), resolve(config).source.num_clients)
    return train(resolve(config.replace({"evaluate.after-training": False})), grid, observer=notes), grid


def _scored(run: Run, clients: Sequence[int]) -> dict[str, float]:
    """Return what these clients score with the arrays that the run serves, after one job more, too."""
    found = evaluate_on_clients(run.jobs, clients, AFTER, served=run.served(), note_lost=_ignore)
    return {name: float(score) for name, score in found.items() if isinstance(score, int | float)}


def _ignore(client: int) -> None:
    """States cannot be lost here."""


def _summary(config: RunConfig, run: Run, grid: InlineGrid, notes: _Notes) -> dict[str, Any]:
    final = _scored(run, sorted(run.jobs.members))
    slowdown = config.clients.slowdown
    slowest = sorted(set(slowdown))[-SLOWEST:]
    own = [
        _scored(run, [client])
        for client in run.trainers
        if slowdown[client % len(slowdown)] in slowest and len(set(slowdown)) > 1
    ]
    raw, uploads = notes.total("raw_bytes"), len(notes.merges)
    both = notes.total("uplink_framed_bytes", "downlink_framed_bytes", later=True)
    return {
        **_named(final),
        "loss": final["loss"],
        "uploads": uploads,
        "merges": run.version,
        "refused": run.tally.refused,
        "lost": run.tally.lost,
        "virtual_time_s": run.time_s,
        "energy_j": run.ledger.total().energy_j,
        "mean_staleness": notes.total("staleness") / max(1, uploads),
        "uplink_bytes": notes.total("uplink_bytes") / max(1, uploads),
        "downlink_bytes": notes.total("downlink_bytes") / max(1, uploads),
        "model_bytes": run.models.raw_bytes,
        "saved": {
            "payload": 1 - notes.total("uplink_bytes") / raw,
            "framed": 1 - notes.total("uplink_framed_bytes") / raw,
            "both ways": 1 - both / (2 * notes.total("raw_bytes", later=True)),
        },
        "curve": notes.curve,
        "slowest": _weighted(own),
        "heads": _sizes(grid, run.trainers),
        "data": rows_of(resolve(config).source),
    }


def _sizes(grid: InlineGrid, clients: Iterable[int]) -> list[tuple[int, int, int]]:
    """Return depth, width and parameters of each client's private head, if it has one."""
    records = [grid.state_of(client).get(HEAD) for client in clients]
    return [size_of(arrays_of(record)) for record in records if isinstance(record, ArrayRecord) and len(record) > 3]


def _weighted(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return _named(robust_means([(place, {"num-examples": 1.0, **own}) for place, own in enumerate(scores)], Notes()))


def _named(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: scores[key] for name, key in SCORES.items() if key in scores}


def _seen_and_unseen(scores: Mapping[str, float | None]) -> dict[str, float]:
    named = {"before": scores["seen"], "after": scores["seen"], **{k: scores[k] for k in ("unlabelled", "unseen")}}
    return {name: score for name, score in named.items() if score is not None}


def _heads_alone(config: RunConfig, epochs: Mapping[int, int]) -> dict[str, float]:
    """Score heads that were trained on the initial backbone, for as many epochs as in the run."""
    workload = resolve(config).workload
    task, source, initial = workload.task, workload.source, workload.initial(config.seed)
    sums, weights = Counter[str](), Counter[str]()
    for client in range(source.num_clients):
        rows = source.partition(client)
        model = task.personalise(initial, rows, generator(config.seed, "frozen-head", client), client=client)
        seen, rng = client < source.num_seen, generator(config.seed, "frozen", client)
        scores = {}
        if seen:
            if passes := epochs.get(client, 0):
                model, _ = task.train(model, rows, rng, epochs=passes, first_trained=task.num_backbone)
            scores["before"] = task.evaluate(model, rows)[1]["accuracy"]
            epoch = workload.local_epochs
            model, _ = task.train(model, rows, rng, epochs=epoch, first_trained=task.num_backbone)
            scores["after"] = task.evaluate(model, rows)[1]["accuracy"]
        else:
            steps = workload.unseen_steps
            model, _ = task.train(model, rows, rng, steps=steps, first_trained=task.num_backbone)
            scores["unseen"] = task.evaluate(model, rows)[1]["accuracy"]
        for name, score in scores.items():
            sums[name] += score * len(rows.y_test)  # type: ignore[assignment]
            weights[name] += len(rows.y_test)
    return {name: sums[name] / weights[name] for name in sums if weights[name]}
