"""The ClientApp of an experiment: our client behind the mods that keep its state and decode what arrives."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable, Mod

from eafl_flower.app.own_rows import client_of, has_own_rows, workload_of
from eafl_flower.app.resolving import experiment_of_items
from eafl_flower.app.workload import Experiment, task_agreed
from eafl_flower.clients.answering import answering_mod
from eafl_flower.clients.bridge import numpy_client_app
from eafl_flower.clients.compression import compression_mod
from eafl_flower.clients.durable_state import durable_state_mod
from eafl_flower.clients.numpy_client import FederatedClient, Workload, federated_client_fn
from eafl_flower.clients.own_rows import OwnRowsClient, own_rows_mod
from eafl_flower.clients.profile import device_of
from eafl_flower.core.provenance import Plain
from eafl_flower.tasks.training import answers_with_messages
from eafl_flower.types import layout_of
from eafl_flower.wire.agreement import layout_in_words
from eafl_flower.wire.records import MESSAGE


def experiment_of(context: Context) -> Experiment:
    """Return the experiment of the configuration that Flower hands to an app; a node may have a device of its own."""
    items = dict(context.run_config)
    if device := device_of(context):
        items["task.device"] = device
    return experiment_of_items(tuple(items.items()))


def client_app(experiment: Experiment | None = None, state_dir: Path | str | None = None) -> ClientApp:
    """Return the ClientApp of an experiment; without one it takes Flower's configuration, message by message.

    Then a message that is not answered after ``job.reply-timeout-s`` is given up.

    Parameters
    ----------
    experiment
        What clients train.
    state_dir
        Where clients keep their state; by default ``state-dir`` of the node's configuration.
    """
    shared_fn = federated_client_fn(_workload, lambda context: experiment or experiment_of(context))
    # A folder of the run is that of a simulation, whose clients and server fall together.
    durable = durable_state_mod(state_dir, power_safe=state_dir is None)

    def compress(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        mod = _compression(experiment or experiment_of(context))
        return call_next(message, context) if mod is None else mod(message, context, call_next)

    def own_rows(context: Context) -> OwnRowsClient | None:
        config = (experiment or experiment_of(context)).config
        return client_of(config) if has_own_rows(config) else None

    def client_fn(context: Context) -> FederatedClient:
        if own_rows(context) is None:
            return shared_fn(context)
        return FederatedClient(workload_of(experiment or experiment_of(context), context), context)

    def roster(context: Context) -> dict[str, Any]:
        asked = experiment or experiment_of(context)
        if (own := own_rows(context)) is not None:
            return {**own.roster(context), "agreed": task_agreed(asked)}
        client = client_fn(context)
        kind = MESSAGE if answers_with_messages(client.workload.task) else "delta"
        known = {"num-examples": client.num_examples, "trains": int(client.trains), "kind": kind}
        return {**known, "agreed": _agreed(asked)}

    mods = [own_rows_mod(own_rows), durable, compress]
    if experiment is None:  # a process of Flower's, in which nobody else looks after the time
        mods.insert(0, answering_mod(lambda context: experiment_of(context).config.job.reply_timeout_s))
    return numpy_client_app(client_fn, mods=mods, roster_fn=roster)


def _workload(experiment: Experiment) -> Workload:
    return experiment.workload


@lru_cache(maxsize=4)
def _agreed(experiment: Experiment) -> dict[str, Plain]:
    """Return what a node states of its task and of the model that it starts from."""
    workload = experiment.workload
    shared = workload.initial(workload.seed)[: workload.task.num_shared]
    return {**task_agreed(experiment), "layout": layout_in_words(layout_of(shared))}


@lru_cache(maxsize=4)
def _compression(experiment: Experiment) -> Mod | None:
    return None if experiment.codec is None else compression_mod(experiment.codec)  # which warns of plain arrays
