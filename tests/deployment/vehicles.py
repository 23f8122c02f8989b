"""A Flower app of its own: two vehicles under two roadside units fine-tune a tiny encoder, each for its unit's task.

Both halves, and what the test holds the deployment against. It is bundled beside ``eafl_flower``.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp import ServerApp
from tiny_encoders import adapted
from tuning_rows import sentences

from eafl_flower.clients import ClientTask, finetune_app
from eafl_flower.codecs import Int8Codec
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.roadside.parked import Parked
from eafl_flower.strategies import UCBDual
from eafl_flower.tasks.finetune import FineTune

CLASSES = {"three": 3, "two": 2}  # task -> number of its classes
ROUNDS, ARMS = 2, (1, 2)  # unplayed ranks come first: what both are does not depend on how long jobs take


@cache
def learners():
    encoder = adapted(features="mean")
    return {name: FineTune(encoder=encoder, num_labels=count, batch_size=8) for name, count in CLASSES.items()}


def tasks_of(client, num_clients):
    return {
        name: ClientTask(
            learner=learner, train=sentences(12, client, CLASSES[name]), test=sentences(8, 9, CLASSES[name])
        )
        for name, learner in learners().items()
    }


def fine_tune(grid):
    """Run on any grid; return the digest of what came out, and of each merge round, vehicle, unit, task and rank."""
    merges = []
    strategy = UCBDual(
        tasks=tuple(CLASSES),
        coverage=Parked(units=(0, 1)),
        energy_j=1.0,
        ranks=UCBDualScheduler(arms=ARMS),
        codec=Int8Codec(),
        seed=5,
        evaluate_clients=False,
        on_merge=lambda merge, event: merges.append(
            [event[key] for key in ("merge", "client", "unit", "model", "rank", "uplink_bytes")]
        ),
    )
    rng = np.random.default_rng(1)
    start = {name: ArrayRecord(list(learner.init(rng, max(ARMS)))) for name, learner in learners().items()}
    strategy.start(grid, start, num_rounds=ROUNDS, timeout=350.0)
    return {"arrays_sha256": strategy.run.arrays_sha256(), "merges": sorted(merges)}


client_app = finetune_app(tasks_of, codec=Int8Codec())
server_app = ServerApp()


@server_app.main()
def main(grid, context):
    folder = Path(context.run_config["results.dir"])
    folder.mkdir()
    (folder / "found.json").write_text(json.dumps(fine_tune(grid)))
