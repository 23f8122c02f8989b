"""Rank collapse in real training: three forms of a merge, clients of six ranks that fine-tune a transformer, 50 rounds.

    EAFL_DATA_DIR=... python benchmarks/lora_collapse.py [--rounds 50] [--rows 80] [--seeds 3]

Six clients of ranks 2, 4, 8, 16, 32 and 64 fine-tune a BERT of 2 layers and width 64 with random weights, which stay,
on questions of TREC (six classes; words are hashed). Adapters of all its linear layers and the head are merged behind a
barrier. A row is the share of the squared singular values of all layers above the smallest rank after the last round,
over that of a run in which all have rank 64 (its own form: "delta"); and the share of test questions that are answered
rightly, as mean over the last five rounds. Rows are means over seeds, of ratios, too; a seed decides weights, questions
and order.

* "alike": clients hold random questions. "unlike": the classes of a client are drawn from Dirichlet(0.3).
"""

import argparse
import os
import zlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from report import row, write_rows

from eafl_flower.aggregation.lora import LoRAAggregator, LoRAState
from eafl_flower.aggregation.lora.forms import Form
from eafl_flower.core.orders import Order
from eafl_flower.core.rng import generator
from eafl_flower.core.threads import one_thread
from eafl_flower.models.lora import Adapted
from eafl_flower.tasks.finetune import FineTune, TuningRows, text_rows
from eafl_flower.types import Update

RANKS = (2, 4, 8, 16, 32, 64)
FULL = (max(RANKS),) * len(RANKS)
WORDS, CLASSES, TEST, LAST = 4000, 6, 1000, 5
AIM, DEFAULT = 0.9, "partition"  # of rounds, in UCBDual


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="rounds (default 50)")
    parser.add_argument("--rows", type=int, default=80, help="training rows of a client (default 80)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds (default 3)")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for split in ("alike", "unlike"):
        found = [_measured(split, seed, given.rows, given.rounds) for seed in range(given.seeds)]
        energy, accuracy = (np.array(parts) for parts in zip(*found, strict=True))
        peer: dict[str, Any] = {"peer": "all of rank 64"}
        full, best = energy[:, 0], accuracy[:, 0]
        rows.append(row(f"{split}, all of rank 64: share above rank 2", float(full.mean()), "energy share"))
        rows.append(row(f"{split}, all of rank 64: accuracy", float(best.mean()), "share of rows"))
        for i, form in enumerate(get_args(Form), start=1):
            ratio = float((energy[:, i] / full).mean())
            aim = AIM if form == DEFAULT else None
            name = f"{split}, {form}"
            told = {**peer, "peer_value": float(full.mean()), "ratio": ratio, "aim": aim}
            rows.append(row(f"{name}: share above rank 2", float(energy[:, i].mean()), "energy share", **told))
            told = {**peer, "peer_value": float(best.mean()), "ratio": float((accuracy[:, i] / best).mean())}
            rows.append(row(f"{name}: accuracy", float(accuracy[:, i].mean()), "share of rows", **told))
            spread = accuracy[:, i].std(ddof=1) if given.seeds > 1 else 0.0
            rows.append(row(f"{name}: accuracy, standard deviation", float(spread), "share of rows"))
    write_rows("lora_collapse", rows)


def _measured(split: str, seed: int, count: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return shares of energy and accuracies: of the run in which all have rank 64, and of each form."""
    train, test = questions(seed)
    shares, task = shared(train, count, split, seed), learner(seed)
    one_thread()
    found = [after(task, shares, test, "delta", FULL, rounds, seed)]
    found += [after(task, shares, test, form, RANKS, rounds, seed) for form in get_args(Form)]
    return [energy for energy, _ in found], [accuracy for _, accuracy in found]


def questions(seed: int) -> tuple[TuningRows, TuningRows]:
    """Return training and test rows of TREC: of those at hand a thousand, drawn by chance, are for the test."""
    path = Path(os.environ.get("EAFL_DATA_DIR", "")) / "text" / "trec.csv.gz"
    if not os.environ.get("EAFL_DATA_DIR") or not path.is_file():
        raise SystemExit("no text/trec.csv.gz (columns label, text): set EAFL_DATA_DIR to the folder that holds it")
    table = pd.read_csv(path).drop_duplicates("text")
    rows = text_rows(table.text.tolist(), table.label.tolist(), by_words, max_length=24)
    order = generator(seed, "test rows").permutation(len(rows))
    return rows.part(order[TEST:]), rows.part(order[:TEST])


def by_words(texts: list[str], *, truncation: bool, max_length: int) -> dict[str, list[list[int]]]:
    """Return the hash of each word, behind a mark where the text begins."""
    assert truncation
    words = ([2 + zlib.crc32(w.encode()) % (WORDS - 2) for w in text.lower().split()] for text in texts)
    return {"input_ids": [[1, *tokens][:max_length] for tokens in words]}


def shared(train: TuningRows, count: int, split: str, seed: int) -> list[TuningRows]:
    """Return the rows of each client; no two hold the same."""
    rng = generator(seed, "rows", split)
    left = [list(rng.permutation(np.flatnonzero(train.labels == c))) for c in range(CLASSES)]
    found = []
    for _ in RANKS:
        chances = np.array([len(rest) for rest in left], float)
        if split == "unlike":
            chances = rng.dirichlet([0.3] * CLASSES) * (chances > 0)
        chosen = []
        while len(chosen) < count:
            chances *= [len(rest) > 0 for rest in left]
            if not chances.any():
                chances = np.array([len(rest) for rest in left], float)
            chosen.append(left[rng.choice(CLASSES, p=chances / chances.sum())].pop())
        found.append(train.part(np.array(chosen)))
    return found


def learner(seed: int) -> FineTune:
    """Return the task: every linear layer of the encoder is adapted."""
    import torch
    from transformers import BertConfig, BertModel

    sides = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = BertModel(BertConfig(vocab_size=WORDS, max_position_embeddings=32, **sides))
    encoder = Adapted(module, features="mean", targets=("query", "key", "value", "dense"))
    return FineTune(encoder=encoder, num_labels=CLASSES, learning_rate=2e-3, batch_size=16)


def after(
    task: FineTune,
    shares: list[TuningRows],
    test: TuningRows,
    form: Form,
    ranks: tuple[int, ...],
    rounds: int,
    seed: int,
) -> tuple[float, float]:
    """Return the share of energy above the smallest of ``RANKS`` after so many rounds, and the accuracy."""
    aggregator = LoRAAggregator(form=form, head=2, max_rank=max(RANKS))
    state, scores = aggregator.init(task.init(generator(seed, "init"), max(RANKS))), []
    for number in range(rounds):
        updates = []
        for client, (rank, rows) in enumerate(zip(ranks, shares, strict=True)):
            order = Order(rank=rank)
            base = aggregator.arrays(state, order)
            trained, _ = task.train(base, rows, generator(seed, "train", client, number))
            delta = tuple(t - b for t, b in zip(trained, base, strict=True))
            updates.append(
                Update(client=client, delta=delta, base=base, base_version=number, num_examples=len(rows), order=order)
            )
        state, _ = aggregator.apply(state, updates)
        if number >= rounds - LAST:
            scores.append(task.evaluate(aggregator.arrays(state), test)[1]["accuracy"])
    return energy_above_smallest(state), float(np.mean(scores))


def energy_above_smallest(state: LoRAState) -> float:
    """Return the share of the squared singular values of all layers that lies above the smallest rank."""
    above = sum(float(layer.s[min(RANKS) :] @ layer.s[min(RANKS) :]) for layer in state.layers)
    return above / sum(layer.energy for layer in state.layers)


if __name__ == "__main__":
    main()
