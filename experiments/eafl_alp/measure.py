"""What is measured of one configuration: scores, bytes, virtual time, energy, and the curve on the way."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flwr.app import ConfigRecord

from eafl_flower.build import build_client_app, build_source, build_workload
from eafl_flower.config import RunConfig
from eafl_flower.data.lookup import lookup_scores, majority_scores
from eafl_flower.engines import InlineGrid
from eafl_flower.experiment import train
from eafl_flower.protocols import DataSource
from eafl_flower.results.observer import Event
from eafl_flower.rng import generator
from eafl_flower.strategies.evaluation import evaluate_on_clients
from eafl_flower.strategies.run import FederatedRun
from eafl_flower.tasks.no_communication import no_communication
from eafl_flower.threads import one_thread

SCORES = {"before": "accuracy-before", "after": "accuracy-after", "unseen": "accuracy-unseen"}
AFTER = ConfigRecord({"after-training": True})
SLOWEST = 2  # clients whose own scores are kept


class _Notes:
    """What the events of a run tell."""

    def __init__(self) -> None:
        self.merged: Counter[int] = Counter()
        self.curve: list[list[float]] = []
        self.staleness: list[int] = []

    def write(self, event: Event) -> None:
        if event["event"] == "merge":
            self.merged[event["client"]] += 1
            self.staleness.append(event["staleness"])
        elif event["event"] == "evaluate":
            scores = event["metrics"]
            values = [scores.get(SCORES[name], float("nan")) for name in ("before", "unseen")]
            self.curve.append([event["merge"], event["time_s"], *values, scores.get("loss", float("nan"))])

    def close(self) -> None:
        """Nothing is open."""


def federated(config: RunConfig) -> dict[str, Any]:
    """Run ``config`` and return its scores and what they cost.

    Bytes are those of jobs that ended: ``uplink`` and ``downlink`` payloads and the same framed; ``raw`` is what the
    merged uploads and the downloads after each client's first would have taken as float32.
    """
    notes = _Notes()
    return _summary(config, _trained(config, notes), notes)


def exact_and_alone(config: RunConfig) -> dict[str, Any]:
    """Run ``config``, then the clients of it without each other; add what needs no training.

    ``none`` is the run without communication: each client trains its complete model for as many epochs as it made
    in the run. ``frozen`` trains only the heads, on the backbone of the start.
    """
    notes = _Notes()
    result = _summary(config, _trained(config, notes), notes)
    workload, source = build_workload(config), build_source(config)
    epochs = {client: merges * workload.local_epochs for client, merges in notes.merged.items()}
    settings = {"local_epochs": workload.local_epochs, "unseen_steps": workload.unseen_steps}
    result["none"] = _named(no_communication(workload.task, source, epochs, seed=config.seed, **settings))
    result["frozen"] = _heads_alone(config, epochs)
    result["majority"] = _seen_and_unseen(majority_scores(source))
    result["lookup"] = _seen_and_unseen(lookup_scores(source)[1])
    return result


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


def _trained(config: RunConfig, notes: _Notes) -> FederatedRun:
    one_thread()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    grid = InlineGrid(build_client_app(config), build_source(config).num_clients)
    return train(config.replace({"evaluate.after-training": False}), grid, observer=notes)


def _summary(config: RunConfig, run: FederatedRun, notes: _Notes) -> dict[str, Any]:
    final = evaluate_on_clients(run.jobs, sorted(run.jobs.members), AFTER, version=run.version, served=run.served())
    slowdown = config.clients.slowdown
    slowest = sorted(run.trainers, key=lambda c: (-slowdown[c % len(slowdown)], c))[:SLOWEST]
    own = [
        evaluate_on_clients(run.jobs, [client], AFTER, version=run.version, served=run.served()) for client in slowest
    ]
    booked = {kind: run.ledger.total(kind) for kind in ("uplink", "downlink", "first-download", "compute")}
    return {
        **_named(final),
        "loss": final["loss"],
        "head_parameters": final.get("head-parameters", 0.0),
        "curve": notes.curve,
        "merges": run.version,
        "uploads": run.tally.updates,
        "refused": run.tally.refused,
        "lost": run.tally.lost,
        "by_client": dict(sorted(notes.merged.items())),
        "mean_staleness": sum(notes.staleness) / max(1, len(notes.staleness)),
        "virtual_time_s": run.now_s(),
        "energy_j": {kind: spent.energy_j for kind, spent in booked.items()},
        "payload_bytes": {kind: spent.payload_bytes for kind, spent in booked.items()},
        "framed_bytes": {kind: spent.framed_bytes for kind, spent in booked.items()},
        "raw_bytes": run.raw_bytes,
        "slowest": [_named(scores) for scores in own],
        "data": rows_of(build_source(config)),
    }


def _named(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: scores[key] for name, key in SCORES.items() if key in scores}


def _seen_and_unseen(scores: Mapping[str, float | None]) -> dict[str, float]:
    named = {"before": scores["seen"], "after": scores["seen"], "unseen": scores["unseen"]}
    return {name: score for name, score in named.items() if score is not None}


def _heads_alone(config: RunConfig, epochs: Mapping[int, int]) -> dict[str, float]:
    """Score heads that were trained on the initial backbone, for as many epochs as in the run."""
    workload = build_workload(config)
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
            scores["before"] = task.evaluate(model, rows)[1]
            epoch = workload.local_epochs
            model, _ = task.train(model, rows, rng, epochs=epoch, first_trained=task.num_backbone)
            scores["after"] = task.evaluate(model, rows)[1]
        else:
            steps = workload.unseen_steps
            model, _ = task.train(model, rows, rng, steps=steps, first_trained=task.num_backbone)
            scores["unseen"] = task.evaluate(model, rows)[1]
        for name, score in scores.items():
            sums[name] += score * len(rows.y_test)  # type: ignore[assignment]
            weights[name] += len(rows.y_test)
    return {name: sums[name] / weights[name] for name in sums if weights[name]}
