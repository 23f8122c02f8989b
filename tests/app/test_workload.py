import itertools
import math
import sys
from types import SimpleNamespace

import pytest

from eafl_flower.app.resolving import resolve
from eafl_flower.app.workload import Experiment
from eafl_flower.config import RunConfig
from eafl_flower.config.parts import GROUPS, owner_of
from eafl_flower.config.run_config import known_settings
from eafl_flower.errors import ConfigError

METHODS = {
    "emam": {},
    "fedasync": {"strategy.name": "fedasync"},
    "fedbuff": {"strategy.name": "fedbuff"},
    "fedavg": {"strategy.name": "fedavg", "strategy.mode": "sync"},
    "fedavgm": {"strategy.name": "fedavgm", "strategy.mode": "sync"},
    "fedadam": {"strategy.name": "fedadam", "strategy.mode": "sync"},
}
TASKS = (
    {},
    {"task.tabular.optimizer": "adamw"},
    {"task.name": "softmax"},
    {"task.name": "fractal"},
)
NEED_IMAGES = {"cnn", "vision-transformer"}
IMAGES = {"feature_names": tuple(f"pixel_{k}" for k in range(64)), "class_names": ("a", "b", "c"), "num_seen": 4}
# What a setting that is not 0 needs beside it to be allowed at all.
COMPANIONS = {
    "codec.emq.digits": {"codec.emq.variant": "binary", "codec.emq.choose-digits": False},
    "churn.on-job-times": {"churn.off-job-times": 1.0},
    "churn.off-job-times": {"churn.on-job-times": 1.0},
    "stop.target": {"stop.metric": "accuracy-before", "evaluate.every": 1},
    "strategy.cohort": {"strategy.mode": "sync"},
    "data.unseen": {"data.clients": 0},
    "radio.cell-free.coherence-samples": {"radio.cell-free.num-pilots": 1},
    "radio.cell-free.num-pilots": {"radio.cell-free.coherence-samples": 20_000},
    "radio.cell-free.round-energy-j": {"strategy.mode": "sync"},
    "radio.cell-free.round-latency-s": {"strategy.mode": "sync"},
    "task.vision-transformer.heads": {"task.vision-transformer.width": 2**31 - 1},
    "task.vision-transformer.width": {"task.vision-transformer.heads": 1},
    "scheduler.ucb-dual.least-energy-j": {"scheduler.ucb-dual.most-energy-j": 2e15},
    "scheduler.ucb-dual.most-energy-j": {"scheduler.ucb-dual.least-energy-j": 1.0},
    "scheduler.until-enough.least": {"scheduler.until-enough.most": 2**31 - 1},
    "scheduler.schedule.first": {"scheduler.schedule.most": 2**31 - 1},
    "scheduler.schedule.least": {"scheduler.schedule.first": 2**31 - 1, "scheduler.schedule.most": 2**31 - 1},
    "scheduler.schedule.most": {"scheduler.schedule.first": 1},
    "scheduler.ucb-dual.kinds": {"scheduler.ucb-dual.share-statistics": True},
    "strategy.alignment.rho": {"task.name": "alignment", "data.name": "latent-world"},
    **{
        key: {"strategy.name": "alignment", "data.name": "latent-world"}
        for key in known_settings()
        if key.startswith("task.alignment.")
    },
}


def ends(setting):
    """Return the least and the greatest value that a setting allows."""
    low, high = setting.range.low, setting.range.high
    if setting.kind is int:
        return int(low), int(high) if math.isfinite(high) else 2**31 - 1
    least = math.nextafter(low, math.inf) if setting.range.above else float(low)
    greatest = min(float(high), sys.float_info.max)
    return least, math.nextafter(high, -math.inf) if setting.range.below else greatest


def boundaries():
    for key, setting in known_settings().items():
        if setting.range:
            for value in ends(setting):
                if key == "task.vision-transformer.patch" and value > 1:
                    continue  # it is bounded by the images
                yield pytest.param({key: str(value) if setting.is_list else value}, id=f"{key}={value}")


def configurations(flat, *, all_combinations):
    """Return what ``flat`` may be combined with, as far as allowed: each method, rule and task a few times."""
    ((key, value),) = flat.items()
    companions = COMPANIONS.get(key, {}) if value else {}
    owner = {f"{part[0]}.name": part[1]} if (part := owner_of(key)) else {}
    rules = GROUPS["staleness"].parts
    if all_combinations:
        combinations = itertools.product(METHODS.values(), rules, TASKS)
    else:
        in_turn = zip(itertools.cycle(METHODS.values()), itertools.cycle(rules), itertools.cycle(TASKS))
        combinations = itertools.islice(in_turn, len(METHODS) * 2)
    for method, rule, task in combinations:
        try:
            yield RunConfig.from_flat({**method, "staleness.name": rule, **task, **owner, **companions, **flat})
        except ConfigError:  # a contradiction, reported before anything is built
            continue


@pytest.mark.parametrize(
    "all_combinations", [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.long], id="all combinations")]
)
@pytest.mark.parametrize("flat", list(boundaries()))
def test_what_the_configuration_allows_can_be_built(flat, all_combinations, toy_source, tmp_path):
    built = 0
    for config in configurations(flat, all_combinations=all_combinations):
        experiment = Experiment(config)
        # a setting may ask for more rows than there is memory
        vars(experiment)["source"] = SimpleNamespace(**IMAGES) if config.task.name in NEED_IMAGES else toy_source
        experiment.strategy(checkpoint=tmp_path / "server.safetensors")
        for in_flight in (1, 50):
            experiment.aggregator(in_flight, in_flight)
        built += 1
    assert built or set(flat) & {"strategy.concurrency", "strategy.cohort"}  # more than there are clients


@pytest.mark.parametrize("patch", [3, 64])
def test_patches_that_do_not_fill_the_images_are_refused(patch):
    experiment = Experiment(
        RunConfig.from_flat({"task.name": "vision-transformer", "task.vision-transformer.patch": patch})
    )
    vars(experiment)["source"] = SimpleNamespace(**IMAGES)
    with pytest.raises(ConfigError, match=f"patch = {patch}"):
        _ = experiment.task


@pytest.mark.parametrize("flat", [{"data.clients": 0}, {"data.unseen": 0}, {"data.idm.rows-per-client": 16}])
def test_the_least_data_can_be_built(flat):
    source = resolve(RunConfig.from_flat(flat)).source
    assert all(len(source.partition(client).y_train) for client in range(source.num_clients))


@pytest.mark.parametrize("name", ["fedasync", "fedbuff"])
def test_a_staleness_that_the_method_cannot_estimate_is_a_contradiction(name):
    with pytest.raises(ConfigError, match=r'staleness\.name = "estimated": only strategy\.name = "emam" can'):
        RunConfig.from_flat({"strategy.name": name, "staleness.name": "estimated"})
