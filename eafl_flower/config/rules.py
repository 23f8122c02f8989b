"""Mistakes that only show when several settings of a run are seen together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eafl_flower.core.scores import PHASES
from eafl_flower.heads.size import parse_sizes

# What a mean of the clients' newest models has no use for, and what it is then.
OF_A_CHOSEN_STEP = {
    "strategy.beta": 0.0,
    "strategy.staleness": "half-life",
    "strategy.half-life": 0.0,
    "strategy.weight-by-examples": False,
    "strategy.serve": "current",
    "strategy.self-check": False,
}


@dataclass(frozen=True, slots=True)
class Clash:
    """Settings that do not go together: the keys involved (the first is shown) and what is wrong."""

    keys: tuple[str, ...]
    text: str


def clashes(values: Mapping[str, Any]) -> list[Clash]:
    """Return every contradiction between the settings in ``values``, a complete mapping from key to value."""
    rules = (_name, _clients, _csv, _strategy, _task, _codec, _stop, _simulation)
    return [clash for rule in rules for clash in rule(values)]


def _name(values: Mapping[str, Any]) -> list[Clash]:
    if re.fullmatch(r"\w[\w.-]*", values["name"], re.ASCII):
        return []
    return [Clash(("name",), 'expected letters, digits, "-", "_" and ".": it names the directory of the run')]


def _clients(values: Mapping[str, Any]) -> list[Clash]:
    found = []
    clients, unseen = values["data.clients"], values["data.unseen"]
    unseen = clients // 5 if unseen < 0 else unseen
    if 0 < clients <= unseen:
        text = f"expected fewer than data.clients = {clients}, or nobody trains"
        found.append(Clash(("data.unseen", "data.clients"), text))
    for key in ("strategy.concurrency", "strategy.cohort"):
        if unseen < clients < unseen + values[key]:
            text = f"expected at most the {clients - unseen} clients that train (data.clients - data.unseen)"
            found.append(Clash((key, "data.clients", "data.unseen"), text))
    return found


def _csv(values: Mapping[str, Any]) -> list[Clash]:
    needed, optional = ("data.csv", "data.label-column"), ("data.client-column", "data.time-column", "data.features")
    if values["data.name"] != "csv":
        given = [key for key in (*needed, *optional) if values[key]]
        return [Clash((key, "data.name"), 'belongs to data.name = "csv"') for key in given]
    found = [Clash((key, "data.name"), 'data.name = "csv" needs it') for key in needed if not values[key]]
    named = [values[key] for key in ("data.label-column", *optional[:2]) if values[key]] + list(values["data.features"])
    if twice := [name for name in dict.fromkeys(named) if named.count(name) > 1]:
        found.append(Clash(("data.features", "data.label-column"), f"{', '.join(twice)} is named for two uses"))
    return found


def _strategy(values: Mapping[str, Any]) -> list[Clash]:
    found = []
    name, mode = values["strategy.name"], values["strategy.mode"]
    if (only := {"fedavg": "sync", "fedasync": "async", "fedbuff": "async"}.get(name, mode)) != mode:
        found.append(Clash(("strategy.mode", "strategy.name"), f'expected "{only}" with strategy.name = "{name}"'))
    if values["strategy.cohort"] and mode == "async":
        text = 'a cohort belongs to strategy.mode = "sync"; limit asynchronous jobs by strategy.concurrency'
        found.append(Clash(("strategy.cohort", "strategy.mode"), text))
    if values["strategy.staleness"] == "estimated" and name in ("fedasync", "fedbuff"):
        text = f'only strategy.name = "emam" can estimate it; with "{name}" choose a rule, as in "polynomial"'
        found.append(Clash(("strategy.staleness", "strategy.name"), text))
    if name == "emam" and mode == "async" and not values["strategy.alpha"]:
        text = "belongs to a step that is chosen: set strategy.alpha too, as in 0.2"
        found += [
            Clash((key, "strategy.alpha"), text) for key, usual in OF_A_CHOSEN_STEP.items() if values[key] != usual
        ]
    if values["strategy.self-check"] and (name, mode) != ("emam", "async"):
        text = 'only strategy.name = "emam" with strategy.mode = "async" has an energy to note after each upload'
        found.append(Clash(("strategy.self-check", "strategy.name"), text))
    return found


def _task(values: Mapping[str, Any]) -> list[Clash]:
    found = []
    name = values["task.name"]
    softmax = name == "softmax"
    if (softmax or (name == "tabular" and not values["task.hidden"])) and values["task.head"] == "private":
        text = 'a model without hidden layers is all head and nothing would be shared; set task.head = "federated"'
        found.append(Clash(("task.head", "task.name", "task.hidden"), text))
    if softmax and values["task.optimizer"] != "sgd":
        found.append(Clash(("task.optimizer", "task.name"), 'expected "sgd" with task.name = "softmax"'))
    if values["task.head-sizes"] and name != "fractal":
        found.append(Clash(("task.head-sizes", "task.name"), 'only task.name = "fractal" has heads of different sizes'))
    try:
        sizes = parse_sizes(values["task.head-sizes"])
    except ValueError as error:
        found.append(Clash(("task.head-sizes",), str(error)))
    else:
        if len(sizes) > 1 and values["task.head"] == "federated":
            found.append(Clash(("task.head-sizes", "task.head"), "a federated head has one size for all clients"))
    return found


def _codec(values: Mapping[str, Any]) -> list[Clash]:
    mode, codebook = values["codec.mode"], values["codec.codebook"]
    if values["codec.name"] != "lqgcm" or (mode in ("rvq", "literal")) == bool(codebook):
        return []
    text = f'codec.mode = "{mode}" has none' if codebook else f'codec.mode = "{mode}" needs the file of one'
    return [Clash(("codec.codebook", "codec.mode"), text)]


def _stop(values: Mapping[str, Any]) -> list[Clash]:
    metric, target = values["stop.metric"], values["stop.target"]
    found = []
    if target and not metric:
        found.append(Clash(("stop.target", "stop.metric"), "which score is meant? set stop.metric"))
    if metric and not metric.endswith(tuple(f"-{phase}" for phase in PHASES)):
        text = f"when is it measured? expected NAME-{', NAME-'.join(PHASES)}, as in accuracy-before"
        found.append(Clash(("stop.metric",), text))
    if metric and not target:
        found.append(Clash(("stop.metric", "stop.target"), "which value is to be reached? set stop.target, but to 0"))
    if metric and not values["evaluate.every"]:
        text = "never looked at before the end; set evaluate.every to a number of merges"
        found.append(Clash(("stop.metric", "evaluate.every"), text))
    if metric.endswith("-after") and not values["evaluate.after-training"]:
        text = "not measured; set evaluate.after-training = true"
        found.append(Clash(("stop.metric", "evaluate.after-training"), text))
    return found


def _simulation(values: Mapping[str, Any]) -> list[Clash]:
    found = []
    if not values["clients.slowdown"]:
        found.append(Clash(("clients.slowdown",), 'expected at least one number, as in "1"'))
    on, off = "churn.on-job-times", "churn.off-job-times"
    for key, other in ((on, off), (off, on)):
        if values[key] and not values[other]:
            found.append(Clash((key, other), f"churn needs both times; set {other} too"))
    if values["task.device"] == "cuda" and values["engine.name"] == "ray" and not values["engine.num-gpus"]:
        text = 'task.device = "cuda" needs a share of a GPU for each client, as in engine.num-gpus = 0.25'
        found.append(Clash(("engine.num-gpus", "task.device", "engine.name"), text))
    return found
