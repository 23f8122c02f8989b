import json
import math

import pytest

from eafl_flower.core.forecasts import Forecast, Outcome
from eafl_flower.core.orders import NO_ORDER, Order
from eafl_flower.core.state import flatten, restore
from eafl_flower.errors import ConfigError
from eafl_flower.schedulers.same import Fixed
from eafl_flower.schedulers.stalling import WhenStalled
from eafl_flower.types import Phase


def forecast(server_round, client=0):
    epoch = Phase(time_s=1.0, energy_j=1.0)
    return Forecast(time_s=0.0, ends_s=math.inf, num_examples=5, epoch=epoch, jobs=0, server_round=server_round)


def outcome(kind="merged", server_round=1, loss=None, num_examples=1.0):
    metrics = {} if loss is None else {"loss": loss}
    known = {"client": 0, "order": NO_ORDER, "began_s": 0.0, "time_s": 1.0, "metrics": metrics}
    return Outcome(kind=kind, server_round=server_round, num_examples=num_examples, **known)


def epochs_of(scheduler, rounds):
    """Return the epochs of each round, given the (examples, loss) of its updates, and of the round after them."""
    state, found = scheduler.init(3), []
    for number, updates in enumerate(rounds, start=1):
        found.append(scheduler.offer(state, 0, forecast(number)).epochs)
        state = scheduler.learn(state, outcome("begun", number))
        for num_examples, loss in updates:
            state = scheduler.learn(state, outcome("merged", number, loss, num_examples))
    return [*found, scheduler.offer(state, 0, forecast(len(rounds) + 1)).epochs]


def constant(losses):
    return [[(1.0, loss)] for loss in losses]


def test_more_epochs_follow_a_round_whose_loss_fell_by_too_little():
    # falls by 10 %, 1 %, nothing, 50 % and rises: the first round has nothing to be compared with
    losses = [1.0, 0.9, 0.891, 0.891, 0.4455, 0.5]
    assert epochs_of(WhenStalled(share=0.02), constant(losses)) == [2, 2, 2, 3, 4, 4, 5]


def test_with_a_negative_step_there_are_fewer():
    scheduler = WhenStalled(first=3, step=-1, share=0.02)
    assert epochs_of(scheduler, constant([1.0, 1.0, 1.0, 1.0])) == [3, 3, 2, 1, 1]


@pytest.mark.parametrize("losses", [[1.0, 0.5, 0.1, 1e-9], [0.0, 0.0, 0.0, 0.0], [5.0, 3.0, 7.0, 0.0]])
@pytest.mark.parametrize("step", [1, 5, -1])
def test_where_every_round_counts_as_stalled_the_epochs_change_in_each(losses, step):
    """Then it is the rule ``min(most, epochs + step)``, ``max(least, epochs)`` after each round."""
    scheduler = WhenStalled(first=2, step=step, least=1, most=6, share=1.5)
    expected = [2]
    for _ in losses:
        expected.append(max(1, min(6, expected[-1] + step)))
    assert epochs_of(scheduler, constant(losses)) == expected


def test_a_share_of_zero_waits_for_a_loss_that_rises():
    assert epochs_of(WhenStalled(share=0.0), constant([1.0, 1.0, 1.001, 1.001])) == [2, 2, 2, 3, 3]


def test_nothing_changes_in_the_first_rounds():
    assert epochs_of(WhenStalled(share=2.0, after=3), constant([1.0] * 5)) == [2, 2, 2, 2, 3, 4]


def test_the_loss_of_a_round_is_a_mean_by_examples():
    # (1 * 1 + 3 * 0.2) / 4 = 0.4, then (2 * 0.3 + 2 * 0.49) / 4 = 0.395 falls by 1.25 %
    rounds = [[(1.0, 1.0), (3.0, 0.2)], [(2.0, 0.3), (2.0, 0.49)]]
    assert epochs_of(WhenStalled(share=0.0124), rounds) == [2, 2, 2]
    assert epochs_of(WhenStalled(share=0.0126), rounds) == [2, 2, 3]


@pytest.mark.parametrize("rest", [[], [(1.0, None)], [(1.0, math.nan)], [(0.0, 3.0)], [(1.0, math.inf)]])
def test_what_says_nothing_of_the_loss_changes_nothing(rest):
    assert epochs_of(WhenStalled(share=2.0), [[(1.0, 1.0)], rest, [(1.0, 1.0)]]) == [2, 3, 3, 4]
    assert epochs_of(WhenStalled(share=2.0), [[(1.0, 1.0)], [(1.0, 1.0), *rest]]) == [2, 3, 4]


def test_only_merged_updates_count():
    scheduler, state = WhenStalled(share=2.0), None
    state = scheduler.init(3)
    for kind in ("begun", "refused", "error", "lost", "timeout"):
        state = scheduler.learn(state, outcome(kind, 1, 1.0))
    assert scheduler.offer(state, 0, forecast(2)) == Order(epochs=2)


def test_an_offer_is_the_same_before_and_after_the_round_is_learnt_of():
    scheduler = WhenStalled(share=2.0)
    state = scheduler.learn(scheduler.init(3), outcome("merged", 1, 1.0))
    first = [scheduler.offer(state, client, forecast(2)) for client in range(3)]
    state = scheduler.learn(state, outcome("begun", 2))
    assert [*first, scheduler.offer(state, 0, forecast(2))] == [Order(epochs=3)] * 4


def test_a_stored_state_goes_on_alike():
    scheduler, state = WhenStalled(share=0.05), None
    state = scheduler.init(3)
    for number, loss in enumerate([1.0, 0.99, 0.5, 0.49], start=1):
        arrays, tree = flatten(state)
        again = restore(scheduler.init(3), arrays, json.loads(json.dumps(tree)))
        assert again == state
        state = scheduler.learn(again, outcome("merged", number, loss))


@pytest.mark.parametrize("wrong", [{"first": 13}, {"first": 2, "least": 3}, {"share": -1.0}, {"after": -1}])
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        WhenStalled(**wrong)


def test_fixed_is_the_same_for_all():
    scheduler = Fixed(epochs=3).make()
    assert {scheduler.offer(None, client, forecast(n)) for client in range(3) for n in (1, 9)} == {Order(epochs=3)}
    with pytest.raises(ConfigError, match="epochs = 0"):
        Fixed(epochs=0)
