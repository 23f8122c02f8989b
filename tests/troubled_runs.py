"""Runs of the toy federation in which everything goes wrong that can, with checkpoints."""

import numpy as np
from toy_federation import network, run_toy, toy_app

from eafl_flower.codecs import Int8Codec, LQGCMCodec
from eafl_flower.simulation.churn import OnOff
from eafl_flower.strategies import AsyncEMAM

CODEC = Int8Codec(block_size=4)
DIFFERENCES = LQGCMCodec(tuples=2, downlink_tuples=1)


class Killed(BaseException):
    """As if the process had died: nothing gets a chance to write anything."""


def sometimes_broken(client, counter, arrays):
    if (client + 3 * counter) % 11 == 0:
        raise ValueError("out of order")
    return [a * np.nan for a in arrays] if (client + counter) % 13 == 0 else None


def everything(tmp_path, **options):
    """Churn, slow clients, deadlines, errors, refusals, int8 and evaluations."""
    return {
        **{"strategy": AsyncEMAM, "codec": CODEC, "concurrency": 4, "seed": 5, "deadline_s": 1.0},
        **network(slowdown=(1.0, 8.0, 30.0, 60.0)),
        "churn": OnOff(seed=3, mean_on_s=4.0, mean_off_s=0.7),
        **{"evaluate_every": 20, "evaluate_first": True, "checkpoint_every": 7, "run_name": "toy"},
        "checkpoint": tmp_path / "server.safetensors",
        **options,
    }


def go(tmp_path, merges, recorder, **options):
    app = toy_app(codec=options.get("codec", CODEC), train=sometimes_broken, state_dir=tmp_path / "state")
    return run_toy(6, merges, app=app, recorder=recorder, **everything(tmp_path, **options))[0]
