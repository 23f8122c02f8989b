from dataclasses import dataclass, replace

import numpy as np
import pytest

from eafl_flower.aggregation import (
    Constant,
    EMAMAggregator,
    Estimated,
    Exponential,
    FedAdam,
    FedAsync,
    FedAvg,
    FedAvgM,
    FedBuff,
    HalfLife,
    Hinge,
    NewestMean,
    Polynomial,
)
from eafl_flower.aggregation.lora import LoRAAggregator
from eafl_flower.conformance import check_aggregator
from eafl_flower.core.orders import Order
from eafl_flower.errors import ConsumedStateError
from eafl_flower.types import Update

OURS = {
    "emam": EMAMAggregator(),
    "emam, average served": EMAMAggregator(serve="average", staleness=HalfLife(1.0)),
    "emam, by examples": EMAMAggregator(weight_by_examples=True, staleness=Polynomial(1.0)),
    "emam, estimated staleness": EMAMAggregator(staleness=Estimated(), beta=0.1),
    "emam, hinge": EMAMAggregator(staleness=Hinge(10, 1), norm_guard=0.0),
    "emam, proxy": EMAMAggregator(proxy=lambda arrays: tuple(0.1 * a for a in arrays), staleness=Exponential(0.1)),
    "emam, paper": EMAMAggregator.paper(),
    "emam, paper, ton-iot": EMAMAggregator.paper("ton-iot"),
    "newest": NewestMean(clients=3),
    "newest, a larger round": NewestMean(clients=50, weight_by_examples=False, norm_guard=0.0),
    "fedasync": FedAsync(),
    "fedasync, constant": FedAsync(mixing=0.9, staleness=Constant()),
    "fedavg": FedAvg(),
    "fedavgm": FedAvgM(server_learning_rate=0.5, server_momentum=0.9),
    "fedavgm without momentum": FedAvgM(),
    "fedadam": FedAdam(),
    "fedbuff": FedBuff(buffer_size=4),
    "fedbuff of one": FedBuff(buffer_size=1),
}
MIXED = (
    np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    np.array(7, dtype=np.int64),
    np.linspace(-1, 1, 6, dtype=np.float16).reshape(2, 3),
    np.arange(4, dtype=np.int32),
    np.zeros(0, dtype=np.float64),
)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("arrays", [None, MIXED], ids=["floats", "with counters and halves"])
def test_aggregator_keeps_the_contract(name, arrays):
    neutral = OURS[name].proxy is None if isinstance(OURS[name], EMAMAggregator) else True
    check_aggregator(OURS[name], arrays, zero_update_is_neutral=neutral)


@pytest.mark.parametrize(("form", "dtype"), [("delta", np.float32), ("replace", np.float64), ("partition", np.float32)])
def test_adapters_keep_the_contract(form, dtype):
    """But for an update of zeros: columns that have learnt nothing are drawn anew for each version."""
    sizes = ((8, 2), (2, 6), (5, 2), (2, 9))
    factors = tuple(np.linspace(-1, 1, a * b, dtype=dtype).reshape(a, b) ** 3 for a, b in sizes)
    aggregator = LoRAAggregator(form=form, alpha=0.5, head=len(MIXED))
    check_aggregator(aggregator, (*factors, *MIXED), zero_update_is_neutral=False)


@pytest.mark.parametrize("name", OURS)
def test_a_consumed_state_is_refused_by_name(name):
    aggregator = OURS[name]
    old = aggregator.init((np.zeros(3),))
    update = Update(client=0, delta=(np.ones(3),), base_version=0, num_examples=1, base=(np.zeros(3),))
    aggregator.apply(old, [update])
    for use in (
        lambda: aggregator.apply(old, [update]),
        lambda: aggregator.arrays(old),
        lambda: aggregator.arrays(old, Order()),
    ):
        with pytest.raises(ConsumedStateError, match="go on with the state that apply"):
            use()


@dataclass(frozen=True)
class Broken(FedAvg):
    """FedAvg with one fault."""

    fault: str = ""

    def init(self, arrays):
        state = super().init(arrays)
        return replace(state, arrays=arrays) if self.fault == "init keeps a reference" else state

    def apply(self, state, updates):
        update = updates[0]
        if self.fault == "forgets the rest of a round":
            updates = updates[:1]
        if self.fault == "accepts NaN":
            update = replace(update, delta=tuple(np.nan_to_num(d) for d in update.delta))
        if self.fault == "drifts":
            update = replace(update, delta=tuple(d + 1 for d in update.delta))
        if self.fault == "writes first":
            state.arrays[0][...] += 1
        if self.fault == "reuses states":
            state = replace(state, clock=np.array([state.version]))
        new, told = super().apply(state, [update, *updates[1:]])
        return replace(new, version=0, clock=np.zeros(1)) if self.fault == "version stands" else new, told


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("init keeps a reference", "init must copy"),
        ("accepts NaN", "was not refused: raise UpdateRefusedError"),
        ("drifts", "a fresh update of zeros changed the arrays"),
        ("writes first", "changed"),
        ("version stands", "grow by 1"),
        ("forgets the rest of a round", "told of 1 of 3 updates"),
        ("reuses states", "mark a state as used"),
    ],
)
def test_the_suite_names_the_fault(fault, message):
    with pytest.raises((AssertionError, ConsumedStateError), match=message):
        check_aggregator(Broken(fault=fault))
