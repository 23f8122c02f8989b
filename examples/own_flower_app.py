"""An ordinary Flower app, from FedAvg to asynchronous EMAM with int8 payloads: three changed lines.

Run it: ``python examples/own_flower_app.py``. It trains a logistic regression on data that it makes up, first as
Flower ships it (FedAvg), then FedAvg with compressed payloads, then asynchronously; all three in this process.
Ten rounds are as many updates each time: AsyncEMAM counts rounds' worth of updates, as many as FedAvg takes in a round.
"""

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from eafl_flower.clients import compression_mod
from eafl_flower.codecs import Int8Codec
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.strategies import AsyncEMAM, Compressed

NUM_CLIENTS, NUM_FEATURES = 20, 10
TRUTH = np.random.default_rng(0).standard_normal(NUM_FEATURES).astype(np.float32)


def rows_of(client: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the rows of one client: features of its own mean, labels of the common truth."""
    rng = np.random.default_rng(client + 1)
    x = (rng.standard_normal((40, NUM_FEATURES)) + rng.standard_normal(NUM_FEATURES)).astype(np.float32)
    return x, (x @ TRUTH > 0).astype(np.float32)


def make_client_app(mods=()) -> ClientApp:
    """Return a ClientApp as anybody would write it; ``mods`` is the only thing that changes."""
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        (weights,) = message.content["arrays"].to_numpy_ndarrays()
        weights = weights.copy()
        x, y = rows_of(context.node_config["partition-id"])
        for _ in range(10):
            weights -= 0.5 * x.T @ (1 / (1 + np.exp(-x @ weights)) - y) / len(y)
        content = RecordDict({"arrays": ArrayRecord([weights]), "metrics": MetricRecord({"num-examples": len(y)})})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        (weights,) = message.content["arrays"].to_numpy_ndarrays()
        x, y = rows_of(context.node_config["partition-id"])
        accuracy = float(((x @ weights > 0) == (y > 0)).mean())
        metrics = MetricRecord({"num-examples": len(y), "accuracy": accuracy})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def main() -> dict[str, float]:
    """Run the three variants and print the accuracy of each."""
    start = ArrayRecord([np.zeros(NUM_FEATURES, np.float32)])
    codec = Int8Codec()
    runs = {
        "FedAvg, 10 rounds": (FedAvg(), make_client_app(), 10),
        "FedAvg with int8 payloads": (Compressed(FedAvg(), codec), make_client_app([compression_mod(codec)]), 10),
        "asynchronous EMAM, 10 rounds' worth of updates": (AsyncEMAM(concurrency=10), make_client_app(), 10),
    }
    accuracy = {}
    for name, (strategy, app, num_rounds) in runs.items():
        result = strategy.start(InlineGrid(app, NUM_CLIENTS), start, num_rounds=num_rounds)
        accuracy[name] = float(result.evaluate_metrics_clientapp[num_rounds]["accuracy"])
        print(f"{name}: accuracy {accuracy[name]:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
