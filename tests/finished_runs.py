"""Small runs that have finished, one of each kind of model, and what their clients reported."""

import csv
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from eafl_flower.app.experiment import run_experiment
from eafl_flower.app.resolving import resolve
from eafl_flower.clients.numpy_client import FederatedClient
from eafl_flower.config import RunConfig
from eafl_flower.core.events import Fanout
from eafl_flower.results.run_directory import RunDirectory

SMALL = {
    **{"data.clients": 6, "data.unseen": 2, "data.idm.rows-per-client": 48},
    **{"strategy.merges": 30, "results.baselines": "none", "codec.name": "float32"},
}
KINDS = {
    "private": {"task.tabular.hidden": "8,8"},
    "federated": {"task.tabular.hidden": "8,8", "task.tabular.head": "federated"},
    "tabular-both": {"task.tabular.hidden": "8,8", "task.tabular.head": "both"},
    "softmax": {"task.name": "softmax"},
    "fractal": {"task.name": "fractal", "task.fractal.head": "private", "task.fractal.head-sizes": "2x16,1x16"},
    "both": {"task.name": "fractal", "task.fractal.head": "both", "task.fractal.head-sizes": "2x16,1x16"},
    "sized": {"task.name": "fractal", "task.fractal.head": "private", "task.fractal.prune-threshold": 0.5},
    "bins": {"task.tabular.hidden": "8,8", "task.tabular.numeric-bins": 4},
    "fractal, bins": {"task.name": "fractal", "task.fractal.numeric-bins": 8},
    "lqgcm": {"task.tabular.hidden": "8,8", "codec.name": "lqgcm"},
}


@dataclass(frozen=True)
class Finished:
    """A finished run and what each client reported at its last evaluation."""

    path: str
    source: object
    scores: dict

    def write_rows(self, path, x, y):
        """Write scaled rows as they were before scaling, with their class."""
        scaler = self.source.scaler
        with Path(path).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow([*self.source.feature_names, "truth"])
            for row, label in zip((x.astype(np.float64) * scaler.scale + scaler.mean).tolist(), y, strict=True):
                table.writerow([*map(repr, row), self.source.class_names[label]])


def finish(folder, kind):
    config = RunConfig.from_flat({**SMALL, **KINDS[kind]})
    run_dir = RunDirectory.create_at(folder)
    run_dir.write_config(config.to_toml())
    scores = {}
    evaluate = FederatedClient.evaluate

    def remember(self, *arguments):
        result = evaluate(self, *arguments)
        scores[self.partition] = result[2]
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FederatedClient, "evaluate", remember)
        patch.setattr(logging.getLogger("flwr"), "level", logging.WARNING)
        run_experiment(resolve(config), run_dir=run_dir, observer=Fanout([run_dir.log]), engine="inline")
    run_dir.log.close()
    return Finished(str(run_dir.path), resolve(config).source, scores)
