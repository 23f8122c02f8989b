"""What is compared in which city: settings, nothing else. A method more is one line here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from eafl_flower.aggregation.lora import AveragedFactors, LoRAAggregator
from eafl_flower.core.orders import Order
from eafl_flower.protocols import Aggregator, Scheduler
from eafl_flower.ranks.budget import Sharing
from eafl_flower.ranks.plain import RandomRank
from eafl_flower.ranks.scheduler import UCBDualScheduler
from eafl_flower.roadside.leaving import Departures
from eafl_flower.schedulers.same import SameOrder

TASKS: Final = ("trec", "sst2", "ag_news")
TITLES: Final[Mapping[str, str]] = {"trec": "TREC", "sst2": "SST-2", "ag_news": "AG News"}
SEEDS: Final = (1, 2, 3)
ARMS: Final = (4, 8, 16, 32, 64)
MEMORY: Final = (64, 32, 64)  # largest rank of the vehicles in turn
LORA_ALPHA: Final = 32.0
RATES: Final = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)  # of AdamW, the same grid for all methods

RANKS: Final = UCBDualScheduler(
    arms=ARMS,
    most_rank=MEMORY,
    share_statistics=True,
    metric="accuracy",
    lower_is_better=False,
    dual_step=0.3,
    discount=0.98,
)
_EARLY: Final = Departures(choices=("early",))


@dataclass(frozen=True, kw_only=True)
class Method:
    """How ranks are chosen, rounds merged, and jobs of vehicles that leave treated.

    ``ranks`` chooses; ``by_memory`` are the ranks of the vehicles in turn instead. ``aggregator`` is None for ours.
    """

    title: str
    ranks: Scheduler[Any] | None = None
    by_memory: tuple[int, ...] = ()
    aggregator: Aggregator[Any] | None = None
    departures: Departures = _EARLY
    sharing: Sharing | None = None
    budget: bool = False
    layers_share: float = 1.0


def _fixed(rank: int) -> SameOrder:
    return SameOrder(order=Order(rank=rank))


OURS: Final = Method(title="UCB-DUAL", ranks=RANKS, departures=Departures(), sharing=Sharing(), budget=True)
METHODS: Final[Mapping[str, Method]] = {
    "ucb-dual": OURS,
    "homolora": Method(title="HomoLoRA, rank 32", ranks=_fixed(32), aggregator=AveragedFactors(rule="homolora")),
    "hetlora": Method(title="HetLoRA", by_memory=(32, 16, 64), aggregator=AveragedFactors(rule="hetlora")),
    "flexlora": Method(title="FlexLoRA", by_memory=(32, 16, 64), aggregator=LoRAAggregator(form="replace", head=2)),
    "fedra": Method(
        title="FedRA, rank 32", ranks=_fixed(32), aggregator=AveragedFactors(rule="fedra"), layers_share=0.5
    ),
    "smallest": Method(title="rank 4", ranks=_fixed(4)),
    "largest": Method(title="rank 64", ranks=_fixed(64)),
    "random": Method(title="random rank", ranks=RandomRank(arms=ARMS)),
    "no-dual": replace(OURS, title="UCB-DUAL without a price", ranks=replace(RANKS, dual_step=0.0)),
    "no-sharing": replace(OURS, title="UCB-DUAL without moving budgets", sharing=None),
    "no-departures": replace(OURS, title="UCB-DUAL without handling of departures", departures=Departures(choices=())),
}
BUDGETS: Final = (0.5, 0.7, 1.0, 1.4, 2.0)  # room in units of the default one
FLEETS: Final = (9, 18, 60)
COMPARED: Final = ("ucb-dual", "homolora", "hetlora", "flexlora", "fedra", "smallest", "largest")
ABLATIONS: Final = ("no-dual", "no-sharing", "no-departures", "random")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One run.

    ``budget`` is the room that the budget leaves above what the smallest ranks take, in units of the default one: 0 is
    all of them at rank 4, 1 / 0.3 all at their largest. ``rows`` are those of a job, drawn from the vehicle's.
    ``encoder`` is a folder or a name on the hub; without one it is that of ``base/``.
    """

    method: str = "ucb-dual"
    seed: int = 1
    rate: float = 4e-3
    rounds: int = 40
    epochs: int = 2
    rows: int = 48
    vehicles: int = 18
    columns: int = 4
    budget: float = 1.0
    rank: int = 0
    tasks: tuple[str, ...] = TASKS
    evaluate_every: int = 4
    test_rows: int = 500
    encoder: str = ""


def task_title(task: str) -> str:
    """Return the name of a task for people."""
    return TITLES.get(task, task)
