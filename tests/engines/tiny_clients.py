"""A client small enough to see through, which misbehaves when its message says so."""

import os
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp


def train_message(node_id, value=1.0, **config):
    arrays = ArrayRecord([np.full(3, value, np.float32), np.arange(4.0)])
    return Message(RecordDict({"arrays": arrays, "config": ConfigRecord({"do": "train", **config})}), node_id, "train")


def counting_app(mods=None):
    """Doubles the arrays and counts its messages in ``context.state``."""
    app = ClientApp(mods=mods)

    @app.train()
    def train(message, context):
        config = message.content["config"]
        count = int(context.state["count"]["n"]) + 1 if "count" in context.state else 1
        context.state["count"] = MetricRecord({"n": count})
        misbehave(config)
        if "keep-bytes" in config:
            context.state["kept"] = ConfigRecord({"data": bytes(config["keep-bytes"])})
        arrays = [2 * array for array in message.content["arrays"].to_numpy_ndarrays()]
        content = RecordDict(
            {
                "arrays": ArrayRecord(arrays),
                "metrics": MetricRecord({"num-examples": 5, "count": count, "value": float(arrays[0][0])}),
                "context": ConfigRecord(
                    {
                        "partition": context.node_config["partition-id"],
                        "partitions": context.node_config["num-partitions"],
                        "setting": context.run_config.get("setting", ""),
                    }
                ),
            }
        )
        if config.get("do") == "where":
            content["where"] = ConfigRecord({"pid": os.getpid(), "ray-node": ray_node_id()})
        return Message(content, reply_to=message)

    return app


def misbehave(config):
    match config.get("do"):
        case "raise":
            raise ValueError("this client has no data")
        case "exit":
            raise SystemExit(3)
        case "die":
            os._exit(1)
        case "die once" if not Path(config["marker"]).exists():
            Path(config["marker"]).touch()
            os._exit(1)
        case "sleep":
            Path(config["marker"]).write_text(str(os.getpid()))
            while not Path(config["go"]).exists():
                time.sleep(0.01)


def ray_node_id():
    import ray

    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""


def app_that_cannot_load():
    raise RuntimeError("the weights file is missing")


def echo_app():
    app = ClientApp()

    @app.train()
    def train(message, context):
        return Message(message.content, reply_to=message)

    return app
