"""An ordinary Flower app with a torch CNN, from FedAvg to EMQ: compressed uploads, then rounds within an energy budget.

Run it: ``python examples/own_torch_cnn.py`` (it needs torch and scikit-learn). Ten clients classify handwritten digits.
First Flower's FedAvg as it ships, then the same with EMQ's payloads (``compression_mod`` in the ClientApp,
``Compressed`` around the strategy). Then the strategy ``EMQ``: clients share a cell-free uplink, the server allocates
their powers round by round, and the run ends before the round that would exceed its budget.
"""

from collections import OrderedDict
from functools import cache

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from sklearn.datasets import load_digits
from torch import nn

from eafl_flower.clients import compression_mod
from eafl_flower.codecs.emq.codec import EMQCodec
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.strategies import EMQ, Compressed

NUM_CLIENTS, NUM_ROUNDS, BUDGET_J = 10, 8, 0.01


class Net(nn.Sequential):
    """Two convolutions and a linear layer, for images of 8 x 8 pixels."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10)),
        )


@cache
def rows_of(client: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return training images and digits of one client, and its share of those to test on."""
    images, digits = load_digits(return_X_y=True)
    mine = np.random.default_rng(0).permutation(len(digits))[client::NUM_CLIENTS]
    x, y = torch.tensor(images[mine] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(digits[mine])
    return x[40:], y[40:], x[:40], y[:40]


def model_of(message: Message) -> Net:
    """Return the model that a message brings."""
    model = Net()
    model.load_state_dict(OrderedDict(message.content["arrays"].to_torch_state_dict()))
    return model


def make_client_app(mods=()) -> ClientApp:
    """Return a ClientApp as anybody would write it; ``mods`` is the only thing that changes."""
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message: Message, context: Context) -> Message:
        model, client = model_of(message), int(context.node_config["partition-id"])
        x, y, _, _ = rows_of(client)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        order = torch.Generator().manual_seed(1000 * client + int(message.content["config"]["server-round"]))
        for batch in torch.randperm(len(y), generator=order).split(16):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        metrics = MetricRecord({"num-examples": len(y)})
        return Message(RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        model, (_, _, x, y) = model_of(message), rows_of(int(context.node_config["partition-id"]))
        with torch.no_grad():
            accuracy = float((model(x).argmax(dim=1) == y).float().mean())
        metrics = MetricRecord({"num-examples": len(y), "accuracy": accuracy})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


def main() -> dict[str, dict[str, float]]:
    """Run the three variants and print what each has reached and sent."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    start, codec = ArrayRecord(Net().state_dict()), EMQCodec()
    plain, coded = make_client_app(), make_client_app([compression_mod(codec)])
    compressed, budgeted = Compressed(FedAvg(), codec), EMQ(codec=codec, energy_j=BUDGET_J, seed=1)
    found = {}
    for name, strategy, app in (
        ("FedAvg", FedAvg(), plain),
        ("Compressed", compressed, coded),
        ("EMQ", budgeted, coded),
    ):
        result = strategy.start(InlineGrid(app, NUM_CLIENTS), start, num_rounds=NUM_ROUNDS)
        rounds, scores = max(result.evaluate_metrics_clientapp.items())
        found[name] = {"rounds": rounds, "accuracy": float(scores["accuracy"])}
    raw = 4 * sum(parameter.numel() for parameter in Net().parameters())
    found["FedAvg"]["bytes an upload"] = raw
    found["Compressed"]["bytes an upload"] = compressed.uplink_bytes / (NUM_CLIENTS * NUM_ROUNDS)
    spent = budgeted.run.ledger
    found["EMQ"]["bytes an upload"] = spent.total("uplink").payload_bytes / (NUM_CLIENTS * found["EMQ"]["rounds"])
    found["EMQ"]["joules"], found["EMQ"]["seconds"] = spent.total().energy_j, budgeted.run.time_s
    for name, values in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in values.items()))
    print(f"EMQ stopped: {budgeted.run.stop_reason or 'all rounds made'}")
    return found


if __name__ == "__main__":
    main()
