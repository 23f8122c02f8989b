import pytest

from eafl_flower.core.orders import NO_ORDER, Enough, Order
from eafl_flower.errors import ConfigError


@pytest.mark.parametrize(
    ("losses", "is_enough"),
    [
        ([1.0], False),  # nothing to compare with yet
        ([1.0, 0.9], False),
        ([1.0, 0.995], True),
        ([1.0, 1.2], True),
        ([100.0, 2.0, 1.5], True),  # a share of the first loss, not of the last
        ([1.0, 0.8, 0.6, 0.4], True),  # as many as it may
    ],
)
def test_training_is_enough_when_an_epoch_gains_less_than_a_share_of_the_first_loss(losses, is_enough):
    assert Enough(share=0.01, least=1, most=4).after(losses) is is_enough


def test_training_goes_on_for_the_least_number_of_epochs_whatever_they_gain():
    rule = Enough(share=0.5, least=3, most=5)
    assert not rule.after([1.0, 1.0])
    assert rule.after([1.0, 1.0, 1.0])


@pytest.mark.parametrize("rule", [Enough(most=5), Enough(least=4, most=5), Enough(most=1), Enough(share=0.0, most=2)])
def test_nobody_makes_fewer_epochs_than_the_rule_allows(rule):
    for losses in ([1.0] * 5, [0.5**n for n in range(5)]):
        made = next(n for n in range(1, 6) if rule.after(losses[:n]))
        assert rule.fewest <= made <= rule.most
    assert next(n for n in range(1, 6) if rule.after([1.0] * n)) == rule.fewest
    assert Order(stop=rule).fewest_epochs(3) == rule.fewest


def test_of_what_a_client_reports_only_what_its_rule_allows_is_believed():
    rule = Enough(least=2, most=5)
    assert [rule.made(n) for n in (2, 5, 4.0)] == [2, 5, 4]
    assert [rule.made(n) for n in (None, 1, 6, -3, 3.5, float("nan"), float("inf"), 10**400)] == [5] * 8
    assert Order(stop=rule).epochs_made(3) == 3


def test_one_epoch_may_be_all_there_is():
    assert Enough(most=1).after([1.0])


def test_an_order_says_how_many_epochs_or_when_to_stop():
    assert (NO_ORDER.fewest_epochs(3), Order(epochs=2).fewest_epochs(3)) == (3, 2)
    assert (NO_ORDER.epochs_made(7), Order(epochs=2).epochs_made(7)) == (0, 2)
    with pytest.raises(ConfigError, match="expected epochs, or the rule to stop by"):
        Order(epochs=2, stop=Enough())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Order(epochs=-1),
        lambda: Order(rank=-1),
        lambda: Enough(least=0),
        lambda: Enough(least=3, most=2),
        lambda: Enough(share=float("nan")),
    ],
)
def test_orders_out_of_range_are_refused(make):
    with pytest.raises(ConfigError, match="expected"):
        make()
