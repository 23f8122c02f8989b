"""Mistakes that only show when several settings of a run are seen together; those within one part are that part's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eafl_flower.config.addresses import parse_address
from eafl_flower.config.parts import is_ours
from eafl_flower.core.scores import PHASES

ONLY_MODE = {"fedavg": "sync", "fedavgm": "sync", "fedadam": "sync", "fedasync": "async", "fedbuff": "async"}
# What a mean of the clients' newest models has no use for, and what it is then.
OF_A_CHOSEN_STEP = {
    "strategy.emam.beta": 0.0,
    "staleness.name": "half-life",
    "staleness.half-life.merges": 0.0,
    "strategy.emam.weight-by-examples": False,
    "strategy.emam.serve": "current",
    "strategy.emam.self-check": False,
}


@dataclass(frozen=True, slots=True)
class Clash:
    """Settings that do not go together: the keys involved (the first is shown) and what is wrong."""

    keys: tuple[str, ...]
    text: str


def clashes(values: Mapping[str, Any]) -> list[Clash]:
    """Return every contradiction between the settings in ``values``, a complete mapping from key to value."""
    rules = (_name, _clients, _strategy, _alignment, _stop, _simulation, _results)
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


def _strategy(values: Mapping[str, Any]) -> list[Clash]:
    found = []
    name, mode = values["strategy.name"], values["strategy.mode"]
    if (only := ONLY_MODE.get(name, mode)) != mode:
        found.append(Clash(("strategy.mode", "strategy.name"), f'expected "{only}" with strategy.name = "{name}"'))
    if values["strategy.cohort"] and mode == "async":
        text = 'a cohort belongs to strategy.mode = "sync"; limit asynchronous jobs by strategy.concurrency'
        found.append(Clash(("strategy.cohort", "strategy.mode"), text))
    if values["staleness.name"] == "estimated" and name in ("fedasync", "fedbuff"):
        text = f'only strategy.name = "emam" can estimate it; with "{name}" choose a rule, as in "polynomial"'
        found.append(Clash(("staleness.name", "strategy.name"), text))
    if name == "emam" and mode == "async" and not values["strategy.emam.alpha"]:
        text = "belongs to a step that is chosen: set strategy.emam.alpha too, as in 0.2"
        found += [
            Clash((key, "strategy.emam.alpha"), text)
            for key, usual in OF_A_CHOSEN_STEP.items()
            if values.get(key, usual) != usual
        ]
    if values.get("strategy.emam.self-check") and mode != "async":
        text = 'only strategy.mode = "async" has an energy to note after each upload'
        found.append(Clash(("strategy.emam.self-check", "strategy.mode"), text))
    return found


def _alignment(values: Mapping[str, Any]) -> list[Clash]:
    found = []
    strategy, task, name = values["strategy.name"], values["task.name"], "alignment"
    if strategy == name and task != name and is_ours("task", task):
        text = f'its clients train a model, and strategy.name = "{name}" takes messages: set it to "{name}"'
        found.append(Clash(("task.name", "strategy.name"), text))
    if task == name and strategy != name and is_ours("strategy", strategy):
        text = f'it merges models, and clients of task.name = "{name}" answer with messages: set it to "{name}"'
        found.append(Clash(("strategy.name", "task.name"), text))
    if task == name and (data := values["data.name"]) not in ("latent-world", "latents") and is_ours("data", data):
        text = f'a row of "{data}" has no latents of users behind those of the access point: set it to "latent-world"'
        found.append(Clash(("data.name", "task.name"), text))
    if (
        strategy == name
        and values["strategy.mode"] == "async"
        and not values.get("strategy.alignment.keep-missing", True)
    ):
        text = (
            'where each answer counts when it comes, all others count with their last one: set strategy.mode = "sync"'
        )
        found.append(Clash(("strategy.alignment.keep-missing", "strategy.mode"), text))
    return found


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
    if values["stop.within-budget"]:
        if values["strategy.mode"] != "sync":
            text = 'only rounds are priced before they are made: strategy.mode = "sync"'
            found.append(Clash(("stop.within-budget", "strategy.mode"), text))
        budgets = ("stop.energy-j", "stop.bytes", "stop.virtual-time-s")
        if not any(values[key] for key in budgets):
            found.append(Clash(("stop.within-budget", *budgets), f"which budget? set {', '.join(budgets)} or some"))
    if metric.endswith("-after") and not values["evaluate.after-training"]:
        text = "not measured; set evaluate.after-training = true"
        found.append(Clash(("stop.metric", "evaluate.after-training"), text))
    return found


def _simulation(values: Mapping[str, Any]) -> list[Clash]:
    found = []
    for key in ("radio.cell-free.round-energy-j", "radio.cell-free.round-latency-s"):
        if values.get(key) and values["strategy.mode"] != "sync":
            text = 'there are rounds only with strategy.mode = "sync"'
            found.append(Clash((key, "strategy.mode"), text))
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


def _results(values: Mapping[str, Any]) -> list[Clash]:
    try:
        parse_address(values["results.metrics-address"] or "1")
    except ValueError as error:
        return [Clash(("results.metrics-address",), str(error))]
    return []
