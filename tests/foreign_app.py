"""An app as Flower's templates write it, with knobs, and the strategies run over it as anybody would."""

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from eafl_flower.engines.inline import InlineGrid

NUM_CLIENTS = 6


def start():
    return ArrayRecord({"w": Array(np.zeros(3, np.float32))})


def ordinary_app(
    *,
    seen=None,
    arrays="arrays",
    config="config",
    weight="num-examples",
    scale=5,
    evaluates=True,
    change=None,
    mods=None,
):
    """A ClientApp that adds its partition id and one to the weights.

    ``seen`` gathers ``(kind, partition, config)`` of each message; ``arrays``, ``config`` and ``weight`` are the names
    it reads and writes; ``scale`` is the weight of client 0; ``change(arrays)`` replaces training.
    """
    app = ClientApp(mods=mods)
    seen = [] if seen is None else seen

    def note(kind, message, context):
        client = context.node_config["partition-id"]
        seen.append((kind, client, dict(message.content[config])))
        return client, {name: array.numpy() for name, array in message.content[arrays].items()}

    @app.train()
    def train(message, context):
        client, values = note("train", message, context)
        values = change(values) if change else {k: v + np.float32(client + 1) for k, v in values.items()}
        metrics = MetricRecord({weight: scale * (client + 1), "loss": float(client)})
        content = {arrays: ArrayRecord({k: Array(np.asarray(v)) for k, v in values.items()}), "metrics": metrics}
        return Message(RecordDict(content), reply_to=message)

    if evaluates:

        @app.evaluate()
        def evaluate(message, context):
            client, _ = note("evaluate", message, context)
            metrics = MetricRecord({weight: scale * (client + 1), "accuracy": float(client)})
            return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def run_foreign(strategy, num_rounds, *, nodes=NUM_CLIENTS, initial=None, **knobs):
    """Run ``strategy`` over such an app; return its result and what the clients have seen."""
    seen = []
    begin = {k: knobs.pop(k) for k in ("train_config", "evaluate_config", "evaluate_fn") if k in knobs}
    app = knobs.pop("app", None) or ordinary_app(seen=seen, **knobs)
    grid = InlineGrid(app, nodes)
    return strategy.start(grid, initial if initial is not None else start(), num_rounds=num_rounds, **begin), seen


def of_kind(seen, kind):
    return [config for what, _, config in seen if what == kind]
