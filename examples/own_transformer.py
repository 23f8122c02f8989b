"""An ordinary Flower app that fine-tunes your own transformers model on your own Dataset: from FedAvg to UCB-DUAL.

Run it: ``python examples/own_transformer.py`` (it needs the extra ``lora`` and scikit-learn). The model is a small
vision transformer that knows the digits 0 to 4. Eight vehicles with images of 5 to 9 fine-tune it by LoRA, first under
Flower's FedAvg, where all train one rank. Then under ``UCBDual``: each chooses its rank, so that all together keep to a
budget of energy. The ClientApp is the same; what changes is the strategy:

    -strategy = FedAvg()
    +ranks = UCBDualScheduler(arms=(1, 2, 4, 8), share_statistics=True)
    +strategy = UCBDual(energy_j=BUDGET_J, ranks=ranks, lora_alpha=16.0)
     result = strategy.start(grid, initial_arrays, num_rounds=NUM_ROUNDS)

At the end the adapter is saved in PEFT's format, and PEFT loads it.
"""

import tempfile
from functools import cache
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedAvg
from peft import PeftModel
from sklearn.datasets import load_digits
from torch.utils.data import Dataset
from transformers import ViTConfig, ViTForImageClassification

from eafl_flower.clients import ClientTask, finetune_app
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.models.lora import Adapted, save_adapter
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.strategies import UCBDual
from eafl_flower.tasks.finetune import FineTune, rows_of

NUM_CLIENTS, NUM_ROUNDS, RANK, BUDGET_J = 8, 16, 8, 0.15

TEST, OWN_TESTS, TRAIN = slice(0, 300), slice(300, 350), slice(350, None)  # of the 896 images


class Digits(Dataset):
    """Images of 8 x 8 pixels of five digits, each a dictionary as transformers' Trainer takes it."""

    def __init__(self, *, first: int, part: slice = slice(None)) -> None:
        images, digits = load_digits(return_X_y=True)
        chosen = np.flatnonzero((digits >= first) & (digits < first + 5))
        chosen = np.random.default_rng(0).permutation(chosen)[part]
        self.images = torch.tensor(images[chosen] / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
        self.labels = digits[chosen] - first

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"pixel_values": self.images[row], "labels": int(self.labels[row])}


@cache
def your_model() -> ViTForImageClassification:
    """Return a model that was trained before, here on the digits 0 to 4."""
    torch.manual_seed(0)
    config = ViTConfig(
        image_size=8,
        patch_size=2,
        num_channels=1,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        num_labels=5,
    )
    model, data = ViTForImageClassification(config), Digits(first=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for batch in (batch for _ in range(12) for batch in torch.randperm(len(data)).split(32)):
        optimizer.zero_grad()
        model(data.images[batch], labels=torch.tensor(data.labels)[batch]).loss.backward()
        optimizer.step()
    return model.eval()


@cache
def learner() -> FineTune:
    """Return what each vehicle does with the model: adapters of any rank, and a head for five new classes."""
    encoder = Adapted(your_model(), kind="image", lora_alpha=16.0)
    return FineTune(encoder=encoder, num_labels=5, learning_rate=1e-2, batch_size=16)


def task_of(client: int, num_clients: int) -> dict[str, ClientTask]:
    """Return the rows of one vehicle: its own Dataset, and one to score on."""
    train = rows_of(Digits(first=5, part=slice(TRAIN.start + client, None, num_clients)))
    return {"": ClientTask(learner=learner(), train=train, test=rows_of(Digits(first=5, part=OWN_TESTS)))}


def accuracy_of(arrays: ArrayRecord) -> float:
    """Return the accuracy of a model on images that no vehicle has."""
    rows = rows_of(Digits(first=5, part=TEST))
    return learner().evaluate(tuple(arrays.to_numpy_ndarrays()), rows)[1]["accuracy"]


def main() -> dict[str, Any]:
    """Run both strategies, print what each has reached and spent, and let PEFT load the adapter."""
    torch.set_num_threads(1)
    app = finetune_app(task_of)
    start = ArrayRecord(list(learner().init(np.random.default_rng(1), RANK)))
    ranks = UCBDualScheduler(arms=(1, 2, 4, 8), share_statistics=True)
    budgeted = UCBDual(energy_j=BUDGET_J, ranks=ranks, lora_alpha=16.0, seed=1)
    found: dict[str, Any] = {"before": accuracy_of(start)}
    for name, strategy in (("FedAvg", FedAvg()), ("UCBDual", budgeted)):
        result = strategy.start(InlineGrid(app, NUM_CLIENTS), start, num_rounds=NUM_ROUNDS)
        found[name] = accuracy_of(result.arrays)
    spent = budgeted.run.ledger
    found["joules a round"] = spent.total().energy_j / NUM_ROUNDS
    found["bytes an upload"] = spent.total("uplink").payload_bytes / (NUM_CLIENTS * NUM_ROUNDS)
    found["bytes an upload, FedAvg"] = sum(array.nbytes for array in start.to_numpy_ndarrays())
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(learner().encoder, folder, tuple(result.arrays.to_numpy_ndarrays()))
        loaded, test = PeftModel.from_pretrained(your_model(), folder).eval(), Digits(first=5, part=TEST)
        with torch.no_grad():
            guesses = loaded(pixel_values=test.images).logits.argmax(dim=1).numpy()
    found["loaded by PEFT"] = float(np.mean(guesses == test.labels))
    for name, value in found.items():
        print(f"{name}: {value:.4g}")
    return found


if __name__ == "__main__":
    main()
