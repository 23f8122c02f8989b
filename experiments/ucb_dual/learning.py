"""What vehicles learn: tasks of texts over one encoder, their shares of the texts, and how well they are learnt."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.clientapp import ClientApp

from eafl_flower.clients.bridge import numpy_client_app
from eafl_flower.clients.finetune import ClientRows, FineTuneClient
from eafl_flower.clients.partition import partition_of
from eafl_flower.core.rng import generator
from eafl_flower.data.texts.files import load_texts
from eafl_flower.data.texts.rows import TextRows
from eafl_flower.data.texts.sharing import split_texts, texts_of_vehicles
from eafl_flower.models.encoder.store import encoder_path
from eafl_flower.models.lora import Adapted
from eafl_flower.tasks.finetune.examples import Examples, tokens_of
from eafl_flower.tasks.finetune.task import FineTune
from eafl_flower.types import Arrays
from experiments.ucb_dual.settings import LORA_ALPHA, Scenario

MAX_LENGTH = 32
BATCH = 16
TARGETS = ("query", "key", "value", "attention.output.dense")


@dataclass(frozen=True, eq=False)
class World:
    """Tasks, rows of all vehicles, and the validation and test rows of each task."""

    tasks: Mapping[str, FineTune]
    rows: tuple[Mapping[str, ClientRows], ...]
    validation: Mapping[str, Examples]
    test: Mapping[str, Examples]
    train: Mapping[str, Examples]


def world_of(scenario: Scenario) -> World:
    """Return what is learnt in a scenario; the method makes no difference but for the rate."""
    tokenizer, model = _encoder()
    splits = {name: split_texts(load_texts(name), seed=scenario.seed) for name in scenario.tasks}
    tasks, validation, test = {}, {}, {}
    for name, split in splits.items():
        classes = len(split.train.class_names)
        tasks[name] = FineTune(model=model, num_labels=classes, learning_rate=scenario.rate, batch_size=BATCH)
        validation[name] = _examples(_some(split.validation, scenario.test_rows, scenario.seed), tokenizer)
        test[name] = _examples(_some(split.test, scenario.test_rows, scenario.seed), tokenizer)
    shared = texts_of_vehicles(splits, vehicles=scenario.vehicles, seed=scenario.seed)
    rows = []
    for owned in shared:
        kept = {
            name: (_some(texts.train, scenario.rows, scenario.seed), _some(texts.test, 25, scenario.seed))
            for name, texts in owned.items()
        }
        rows.append({n: ClientRows(_examples(a, tokenizer), _examples(b, tokenizer)) for n, (a, b) in kept.items()})
    train = {
        name: _joined([_some(owned[name].train, scenario.rows, scenario.seed) for owned in shared], tokenizer)
        for name in splits
    }
    return World(tasks=tasks, rows=tuple(rows), validation=validation, test=test, train=train)


def app_of(world: World, scenario: Scenario, *, layers_share: float) -> ClientApp:
    """Return the ClientApp of the vehicles."""

    def client_fn(context: Context) -> FineTuneClient:
        client, _ = partition_of(context)
        return FineTuneClient(
            world.tasks, world.rows[client], context, local_epochs=scenario.epochs, layers_share=layers_share
        )

    def roster(context: Context) -> dict[str, Any]:
        return {"num-examples": client_fn(context).num_examples, "trains": 1, "kind": "delta"}

    return numpy_client_app(client_fn, roster_fn=roster)


def initial_of(world: World, scenario: Scenario, rank: int) -> dict[str, ArrayRecord]:
    """Return the adapters that each task starts from; their heads are the same whatever the rank."""
    found = {}
    for name, task in world.tasks.items():
        head = task.init(generator(scenario.seed, "head", name), 1)[2 * len(task.model.layers) :]
        factors = task.init(generator(scenario.seed, "adapters", name), rank)[: 2 * len(task.model.layers)]
        found[name] = ArrayRecord([*factors, *head])
    return found


def scored(world: World, arrays: Mapping[str, Arrays]) -> dict[str, dict[str, float]]:
    """Return accuracy and loss on test and validation rows of each task."""
    found: dict[str, dict[str, float]] = {}
    for name, task in world.tasks.items():
        loss, test = task.evaluate(arrays[name], world.test[name])
        _, validation = task.evaluate(arrays[name], world.validation[name])
        found[name] = {"test": test["accuracy"], "validation": validation["accuracy"], "loss": loss}
    return found


def bytes_of(world: World, rank: int) -> float:
    """Return the size of an adapter of this rank with its head, the mean over tasks [byte]."""
    sizes = [sum(a.nbytes for a in task.init(generator(0), rank)) for task in world.tasks.values()]
    return float(np.mean(sizes))


def encoder_digest() -> str:
    """Return what tells the base encoder from others."""
    training = encoder_path(1) / "training.json"
    return hashlib.sha256(training.read_bytes()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _encoder() -> tuple[Any, Adapted]:
    from transformers import AutoTokenizer

    path = encoder_path(1)
    return AutoTokenizer.from_pretrained(path), Adapted(path, targets=TARGETS, lora_alpha=LORA_ALPHA)


def _some(rows: TextRows, most: int, seed: int) -> TextRows:
    if len(rows) <= most:
        return rows
    return rows.take(np.sort(generator(seed, "some", rows.name, most).permutation(len(rows))[:most]))


def _examples(rows: TextRows, tokenizer: Any) -> Examples:
    return tokens_of(rows.texts, rows.labels.tolist(), tokenizer, max_length=MAX_LENGTH)


def _joined(parts: list[TextRows], tokenizer: Any) -> Examples:
    texts = [text for part in parts for text in part.texts]
    return tokens_of(texts, [int(label) for part in parts for label in part.labels], tokenizer, max_length=MAX_LENGTH)
