"""One alignment with its test, as figures for each user."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from eafl_flower.core.threads import one_thread
from experiments.alignment import apart
from experiments.alignment.scene import scene_of
from experiments.alignment.settings import Disjoint, Scenario, method_of
from experiments.alignment.spaces import data_digest
from experiments.alignment.together import Alliance

__all__ = ["data_digest", "plain", "recorded", "scenario_of"]


def plain(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as the settings of a cell."""
    return asdict(scenario)


def scenario_of(settings: Mapping[str, Any]) -> Scenario:
    """Return the scenario of a cell's settings."""
    return Scenario(**settings)


def recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures by user: accuracy of its classifier on what it receives and on its own clean latents, and errors.

    ``mse`` is the mean squared error over all real latent entries, ``variance`` that of guessing the mean. ``power`` is
    the largest of what is sent, ``residual`` the access point's last primal residual; both 0 where nothing is trained.
    """
    one_thread()
    scenario = scenario_of(settings)
    method, scene = method_of(scenario.method), scene_of(scenario)
    power = residual = 0.0
    if isinstance(method, Disjoint):
        found = apart.received(scenario, method, scene)
    else:
        alliance = Alliance.of(scenario, method, scene)
        trained = alliance.trained()
        found = alliance.received(trained)
        deployed = [trained.point.deployed(trained.state, user) for user in range(len(scene.users))]
        power = max(float(np.linalg.norm(sent) ** 2) for sent in deployed)
        residual = float(trained.state.primal_residual or 0.0)
    each = list(zip(found, scene.users, scene.classify, strict=True))
    return {
        "users": [side.name for side in scene.users],
        "sizes": [len(side.tests) for side in scene.users],
        "base": scene.access_point.name,
        "base_size": len(scene.access_point.tests),
        "num_pilots": scene.access_point.pilots.shape[1],
        "accuracy": [_right(classify(latents), scene.labels) for latents, _, classify in each],
        "clean": [_right(classify(side.tests), scene.labels) for _, side, classify in each],
        "mse": [float(np.mean((latents - side.tests) ** 2)) for latents, side, _ in each],
        "variance": [float(np.mean(side.tests.var(axis=1))) for side in scene.users],
        "power": power,
        "residual": residual,
    }


def _right(guessed: Any, labels: Any) -> float:
    return float(np.mean(guessed == labels))
