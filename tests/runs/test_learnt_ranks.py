"""Ranks that a scheduler learns: what clients are told, and what a run that resumes goes on with."""

import numpy as np
import pytest
from toy_federation import Recorder, run_toy, toy_app

from eafl_flower.core.state import flatten
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.simulation.churn import OnOff
from eafl_flower.strategies import EMAM, AsyncEMAM

ARMS = (2, 4, 8)


def listening(heard, state_dir=None):
    """A ClientApp that notes the terms of all jobs of each client."""
    return toy_app(state_dir=state_dir, hear=lambda client, terms: heard.setdefault(client, []).append(terms))


def test_clients_are_told_their_ranks_each_once_before_any_again():
    heard = {}
    run, recorder = run_toy(3, 30, app=listening(heard), scheduler=UCBDualScheduler(arms=ARMS))
    for terms in heard.values():
        assert [t["rank"] for t in terms[:3]] == list(ARMS)
    assert run.plans.bandit.counts.sum() == len(recorder.of("merge"))
    assert run.plans.bandit.in_flight.sum() == len(recorder.of("unfinished"))
    assert run.plans.costs.energy_j.sum() == pytest.approx(sum(e["energy_j"] for e in recorder.of("merge")))


@pytest.mark.parametrize("strategy", [AsyncEMAM, EMAM], ids=["asynchronous", "barrier"])
@pytest.mark.parametrize("settings", [{}, {"share_statistics": True, "dual_scope": "vehicle", "discount": 0.95}])
@pytest.mark.parametrize("stop_at", [23])
def test_a_run_that_was_killed_goes_on_with_what_it_had_learnt(tmp_path, stop_at, settings, strategy):
    churn = OnOff(seed=1, mean_on_s=30.0, mean_off_s=10.0)
    scheduler = UCBDualScheduler(arms=ARMS, dual_step=0.3, **settings)
    options = {"scheduler": scheduler, "checkpoint_every": 2, "strategy": strategy, "churn": churn}
    merges = 30 if strategy is AsyncEMAM else 9
    whole, told = run_toy(5, merges, app=toy_app(state_dir=tmp_path / "a"), checkpoint=tmp_path / "whole", **options)
    recorder = Recorder(stop_at=stop_at)
    app = toy_app(state_dir=tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        run_toy(5, merges, recorder=recorder, checkpoint=tmp_path / "killed", app=app, **options)
    run, recorder = run_toy(
        5, merges, recorder=recorder, checkpoint=tmp_path / "killed", resume=True, app=app, **options
    )
    assert recorder.told() == told.told()
    (arrays, tree), (others, other) = flatten(run.plans), flatten(whole.plans)
    assert tree == other
    assert all(np.array_equal(array, others[name]) for name, array in arrays.items())
    assert (whole.plans.bandit.dual > 0).any()
