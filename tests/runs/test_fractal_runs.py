"""Runs with heads of different sizes, some of them pruned: killed and resumed, and on their own."""

import numpy as np
import pytest
from toy_federation import Recorder

from eafl_flower.app.client import client_app
from eafl_flower.app.resolving import resolve
from eafl_flower.app.training import train
from eafl_flower.clients.durable_state import stored_state
from eafl_flower.clients.numpy_client import head_of
from eafl_flower.config import RunConfig
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.heads.pruning import pruned_nodes
from eafl_flower.heads.size import size_of

SMALL = {
    **{"data.clients": 6, "data.unseen": 2, "data.idm.rows-per-client": 72},
    **{"strategy.concurrency": 3, "task.name": "fractal", "task.fractal.head": "private", "task.learning-rate": 0.02},
    **{"churn.on-job-times": 8.0, "churn.off-job-times": 3.0, "clients.slowdown": "1,2,4", "evaluate.every": 25},
    **{"checkpoint.every": 9, "strategy.merges": 60},
}
CASES = {
    "given sizes, pruned": {"task.fractal.head-sizes": "2x16,0x16,1x24", "task.fractal.prune-threshold": 0.9},
    "sizes by data, 88 bits": {"codec.name": "lqgcm"},
    "an optimiser that remembers, pruned": {
        **{"task.fractal.head-sizes": "2x16,1x24", "task.fractal.prune-threshold": 0.9, "task.learning-rate": 1.0},
        **{"task.fractal.optimizer": "adadelta", "task.fractal.optimizer-state": "kept"},
        **{"scheduler.name": "until-enough", "scheduler.until-enough.most": 3},
    },
}


class Killed(BaseException):
    """As if the process had died: nothing gets a chance to write anything."""


def go(config, folder, recorder=None, **options):
    grid = InlineGrid(client_app(resolve(config), folder / "state"), resolve(config).source.num_clients)
    checkpoint = folder / "server.safetensors"
    return train(
        resolve(config), grid, observer=recorder or Recorder(), checkpoint=checkpoint, run_name="run", **options
    )


def heads_of(folder, run):
    """The head that goes with the final arrays, of each client that trained."""
    states = run.jobs.table.state.tolist()
    records = [stored_state(folder / "state", "run", k, c) for k, c in enumerate(states) if c]
    return [head_of(record) for record in records]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_heads_of_different_sizes_survive_a_kill(tmp_path, case):
    config = RunConfig.from_flat({**SMALL, **CASES[case]})
    undisturbed = Recorder()
    expected = go(config, tmp_path / "undisturbed", undisturbed)
    recorder = Recorder(stop_at=len(undisturbed.events) // 2, error=Killed)
    with pytest.raises(Killed):
        go(config, tmp_path / "killed", recorder)
    run = go(config, tmp_path / "killed", recorder, resume=True)
    assert run.tally.states_lost == 0
    assert run.arrays_sha256() == expected.arrays_sha256()
    assert recorder.told() == undisturbed.told()
    assert run.client_scores == expected.client_scores
    both = heads_of(tmp_path / "killed", run), heads_of(tmp_path / "undisturbed", expected)
    for ours, theirs in zip(*both, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_sizes_differ_subtrees_go_and_what_is_shared_keeps_its_layout(tmp_path):
    config = RunConfig.from_flat({**SMALL, **CASES["given sizes, pruned"]})
    run = go(config, tmp_path)
    heads = heads_of(tmp_path, run)
    assert {size_of(head)[:2] for head in heads} == {(2, 16), (0, 16), (1, 24)}
    assert any(pruned_nodes(head[-1]) for head in heads)
    task = resolve(config).task
    for head in heads:
        task.check_head(head)
    shapes = [a.shape for a in run.result.arrays.to_numpy_ndarrays()]
    assert tuple(shapes) == task.backbone.shapes


def test_the_mean_size_of_the_heads_stands_beside_the_scores(tmp_path):
    config = RunConfig.from_flat(
        {**SMALL, "task.fractal.head-sizes": "1x16,2x8", "churn.on-job-times": 0.0, "churn.off-job-times": 0.0}
    )
    run = go(config, tmp_path)
    counts = [size_of(head)[2] for head in heads_of(tmp_path, run)]
    assert len(counts) == 4
    # every client has as many test rows
    assert run.client_scores[run.version]["head-parameters"] == pytest.approx(np.mean(counts))


def test_equal_runs_give_equal_bytes_and_another_seed_other_ones(tmp_path):
    flat = {**SMALL, "strategy.merges": 12, "evaluate.every": 0}
    hashes = [
        go(RunConfig.from_flat({**flat, "seed": seed}), tmp_path / str(i)).arrays_sha256()
        for i, seed in enumerate((1, 1, 2))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("head", ["private", "federated"])
def test_a_run_learns(tmp_path, head):
    config = RunConfig.from_flat(
        {
            **SMALL,
            "task.fractal.head": head,
            "strategy.merges": 150,
            "evaluate.every": 150,
            "task.fractal.head-sizes": "1x16",
        }
    )
    run = go(config, tmp_path)
    first, last = run.client_scores[0], run.client_scores[run.version]
    assert last["accuracy-before"] > first["accuracy-before"] + 0.1
    assert last["loss"] < 0.8 * first["loss"]


def test_a_damaged_state_file_is_a_lost_state_and_the_client_starts_afresh(tmp_path):
    config = RunConfig.from_flat({**SMALL, "task.fractal.head-sizes": "1x16"})
    recorder = Recorder(stop_at=40, error=Killed)
    with pytest.raises(Killed):
        go(config, tmp_path, recorder)
    for path in (tmp_path / "state").rglob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[-100] ^= 0xFF
        path.write_bytes(content)
    run = go(config, tmp_path, recorder, resume=True)
    assert run.tally.states_lost > 0
    assert run.version == 60
