"""What becomes of singular directions that only clients of high rank hold: three forms of a merge, 50 rounds.

    python benchmarks/lora_forms.py [--rounds 50]

A model of the effect, not of a data set. One layer of 96 x 96 is to become a target whose k-th singular value is
k ** -0.5. Six clients of ranks 2, 4, 8, 16, 32 and 64 and equal weight each make five steps of gradient descent a round
on half the squared distance to their target, at rates by which sqrt(s) A and sqrt(s) B move alike whatever the rank.

* "kept": the layer is the target's best part of rank 64 at the start and nobody trains, so that all that is lost is
  lost by merging.
* "learnt": the layer is 0 at the start, and all clients have this target. Of both the rows are the share of the
  squared singular values above the smallest rank; their ratio is to that of a run in which all clients have rank 64.
* "unlike": as "learnt", but to the target of each client noise is added, whose Frobenius norm is one or two times
  that of the target. Rows are the relative distance to the mean of their targets; their ratio is that of a run in which
  all clients have rank 64 over it.
"""

import argparse
from typing import Any, get_args

import numpy as np
from report import row, write_rows

from eafl_flower.aggregation.lora import LowRank, Pair, Trained, balanced_pair, merged_layer, scale_of, zero_matrix
from eafl_flower.aggregation.lora.forms import Form
from eafl_flower.core.rng import generator
from eafl_flower.core.threads import one_thread

RANKS = (2, 4, 8, 16, 32, 64)
FULL = (max(RANKS),) * len(RANKS)
SIDE, LORA_ALPHA = 96, 32.0
STEPS, RATE = 5, 0.3
AIM = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="rounds (default 50)")
    rounds = parser.parse_args().rounds
    one_thread()  # of small products two threads that wait for each other on a busy machine make minutes
    write_rows("lora_forms", [*_energy_rows(rounds), *_distance_rows(rounds)])


def _energy_rows(rounds: int) -> list[dict[str, Any]]:
    rows = []
    for what in ("kept", "learnt"):
        full = energy_above_smallest(what, "delta", FULL, rounds)
        for form in get_args(Form):
            share = energy_above_smallest(what, form, RANKS, rounds)
            told = {"peer": "all of rank 64", "peer_value": full, "ratio": share / full}
            rows.append(row(f"{what}, {form}", share, "energy share", aim=AIM if form == "delta" else None, **told))
    return rows


def _distance_rows(rounds: int) -> list[dict[str, Any]]:
    rows = []
    for noise in (1.0, 2.0):
        for form in get_args(Form):
            far, full = (distance_to_mean(form, ranks, rounds, noise) for ranks in (RANKS, FULL))
            told = {"peer": "all of rank 64", "peer_value": full, "ratio": full / far}
            rows.append(row(f"unlike by {noise:g}, {form}", far, "relative distance", **told))
    return rows


def energy_above_smallest(what: str, form: Form, ranks: tuple[int, ...], rounds: int) -> float:
    """Return the share of the energy above the smallest of ``RANKS`` after so many rounds."""
    if what == "kept":
        layer = after(target_matrix().truncated(max(RANKS)), (), form, ranks, rounds)
    else:
        layer = after(zero_matrix(SIDE, SIDE), (_dense(target_matrix()),) * len(ranks), form, ranks, rounds)
    return layer.energy_above(min(RANKS))


def distance_to_mean(form: Form, ranks: tuple[int, ...], rounds: int, noise: float) -> float:
    """Return how far the layer ends from the mean of unlike targets, over the norm of that mean."""
    target = _dense(target_matrix())
    size = noise * np.linalg.norm(target) / SIDE
    targets = [target + size * generator(0, "noise", i).standard_normal(target.shape) for i in range(len(ranks))]
    mean = np.mean(targets, axis=0)
    layer = after(zero_matrix(SIDE, SIDE), targets, form, ranks, rounds)
    return float(np.linalg.norm(_dense(layer) - mean) / np.linalg.norm(mean))


def after(layer: LowRank, targets: Any, form: Form, ranks: tuple[int, ...], rounds: int) -> LowRank:
    """Return the layer after so many rounds of clients that train towards ``targets``; without any they do not."""
    for number in range(rounds):
        trained = []
        for client, rank in enumerate(ranks):
            scale = scale_of(rank, LORA_ALPHA)
            base = balanced_pair(layer, rank, scale, generator(0, "columns", number))
            pair = _trained(base, targets[client], scale) if len(targets) else base
            trained.append(Trained(base=base, pair=pair))
        layer = merged_layer(layer, trained, [1.0] * len(ranks), form=form, lora_alpha=LORA_ALPHA).matrix
    return layer


def target_matrix() -> LowRank:
    """Return a matrix of full rank with slowly falling singular values."""
    rng = generator(0, "target")
    u, v = (np.linalg.qr(rng.standard_normal((SIDE, SIDE)))[0] for _ in range(2))
    return LowRank(u=u, s=np.arange(1, SIDE + 1) ** -0.5, v=v)


def _dense(matrix: LowRank) -> np.ndarray:
    return (matrix.u * matrix.s) @ matrix.v.T


def _trained(base: Pair, target: np.ndarray, scale: float) -> Pair:
    a, b = base
    for _ in range(STEPS):
        residual = scale * a @ b - target
        a, b = a - RATE * residual @ b.T, b - RATE * a.T @ residual
    return Pair(a, b)


if __name__ == "__main__":
    main()
