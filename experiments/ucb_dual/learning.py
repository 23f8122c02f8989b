"""What vehicles learn: tasks of texts over one encoder, their shares of the texts, and how well they are learnt."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from flwr.app import ArrayRecord
from flwr.clientapp import ClientApp

from eafl_flower.clients.finetune import ClientTask, HowToTune, finetune_app
from eafl_flower.core.rng import generator
from eafl_flower.data.texts.files import load_texts
from eafl_flower.data.texts.rows import TextRows
from eafl_flower.data.texts.sharing import split_texts, texts_of_vehicles
from eafl_flower.errors import ConfigError
from eafl_flower.models.lora import Adapted, shared_encoder
from eafl_flower.tasks.finetune import FineTune, TuningRows, text_rows
from eafl_flower.types import Arrays
from experiments.ucb_dual.settings import LORA_ALPHA, Scenario

MAX_LENGTH: Final = 32
BATCH: Final = 16
OWN_TESTS: Final = 50  # rows on which a vehicle scores what it has trained
BASE: Final = Path(__file__).parent / "base"  # what `eafl encoder make` trained on one machine, in float16


@dataclass(frozen=True, eq=False)
class World:
    """Tasks, what each vehicle has of them, and of each all training rows, validation and test rows."""

    tasks: Mapping[str, FineTune]
    vehicles: tuple[Mapping[str, ClientTask], ...]
    train: Mapping[str, TuningRows]
    validation: Mapping[str, TuningRows]
    test: Mapping[str, TuningRows]


def world_of(scenario: Scenario) -> World:
    """Return what is learnt in a scenario; the method makes no difference but for the rate."""
    encoder, seed, tokenizer = base_encoder(scenario.encoder), scenario.seed, tokenizer_of(scenario.encoder)

    def rows(texts: TextRows) -> TuningRows:
        return text_rows(texts.texts, texts.labels.tolist(), tokenizer, max_length=MAX_LENGTH)

    splits = {name: split_texts(load_texts(name), seed=seed) for name in scenario.tasks}
    tasks = {
        name: FineTune(
            encoder=encoder,
            num_labels=len(split.train.class_names),
            learning_rate=scenario.rate,
            batch_size=BATCH,
        )
        for name, split in splits.items()
    }
    vehicles = tuple(
        {
            name: ClientTask(
                learner=tasks[name], train=rows(texts.train), test=rows(_some(texts.test, OWN_TESTS, seed))
            )
            for name, texts in owned.items()
        }
        for owned in texts_of_vehicles(splits, vehicles=scenario.vehicles, seed=seed)
    )
    return World(
        tasks=tasks,
        vehicles=vehicles,
        train={name: rows(split.train) for name, split in splits.items()},
        validation={name: rows(_some(s.validation, scenario.test_rows // 2, seed)) for name, s in splits.items()},
        test={name: rows(_some(s.test, scenario.test_rows, seed)) for name, s in splits.items()},
    )


def app_of(world: World, scenario: Scenario, *, layers_share: float) -> ClientApp:
    """Return the ClientApp of the vehicles, which train so much of the layers (FedRA)."""
    still = _frozen(scenario, layers_share) if layers_share < 1 else None
    how = HowToTune(seed=scenario.seed, local_epochs=scenario.epochs, rows_a_job=scenario.rows, frozen_layers=still)
    return finetune_app(lambda client, _: world.vehicles[client], how=how)


def initial_of(world: World, scenario: Scenario, rank: int) -> dict[str, ArrayRecord]:
    """Return the adapters that each task starts from; its head is the same whatever the rank."""
    found = {}
    for name, task in world.tasks.items():
        count = task.num_factors
        factors = task.init(generator(scenario.seed, "adapters", name), rank)[:count]
        head = task.init(generator(scenario.seed, "head", name), 1)[count:]
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


def encoder_path_of(encoder: str) -> str:
    """Return the folder or the name of an encoder, which is ``BASE`` if empty."""
    return encoder or str(BASE)


@lru_cache(maxsize=1)
def encoder_digest(encoder: str) -> str:
    """Return what tells an encoder from others: a hash of its weights and of its words, not of how it was made.

    Raises
    ------
    ConfigError
        If it cannot be loaded.
    """
    from transformers import AutoModel

    try:
        words = tokenizer_of(encoder).get_vocab()
        model, told = AutoModel.from_pretrained(encoder_path_of(encoder), output_loading_info=True)
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"encoder {encoder}: expected a folder or a name on the hub ({first})") from error
    sha = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for name, weights in sorted(model.state_dict().items()):
        if name not in told["missing_keys"]:  # a pooler that was not stored begins at random
            sha.update(name.encode() + weights.numpy().tobytes())
    return sha.hexdigest()[:16]


def base_encoder(encoder: str) -> Adapted:
    """Return an encoder with adapters of query, key and value."""
    return shared_encoder(encoder_path_of(encoder), features="mean", lora_alpha=LORA_ALPHA)


@lru_cache(maxsize=1)
def tokenizer_of(encoder: str) -> Any:
    """Return the tokenizer of an encoder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(encoder_path_of(encoder))


def _frozen(scenario: Scenario, share: float) -> Callable[[str, int, int], Collection[int]]:
    """Return which layers a job leaves alone: all but so many blocks of the encoder, drawn for each job."""
    blocks: dict[str, list[int]] = {}
    for number, layer in enumerate(base_encoder(scenario.encoder).layers):
        block = next((part for part in layer.name.split(".") if part.isdigit()), "")
        blocks.setdefault(block, []).append(number)
    names = sorted(blocks)
    kept = max(1, round(share * len(names)))

    def frozen(model: str, client: int, counter: int) -> Sequence[int]:
        order = generator(scenario.seed, "blocks", model, client, counter).permutation(len(names))
        return [number for place in order[kept:] for number in blocks[names[place]]]

    return frozen


def _some(rows: TextRows, most: int, seed: int) -> TextRows:
    if len(rows) <= most:
        return rows
    return rows.take(np.sort(generator(seed, "some", rows.name, most).permutation(len(rows))[:most]))
