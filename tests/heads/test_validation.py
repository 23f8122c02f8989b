import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.heads.size import SMALLEST, HeadSize
from eafl_flower.heads.validation import fold_rows, is_as_good, smallest_sufficient


def test_equal_losses_speak_for_the_smaller_head():
    losses = generator(1, "losses").random(50)
    assert is_as_good(losses, losses)
    assert is_as_good(losses - 0.1, losses)


def test_a_smaller_head_that_is_worse_on_every_row_is_not_as_good():
    losses = generator(1, "losses").random(50)
    assert not is_as_good(losses + 1e-6, losses)  # the difference has no spread


def test_the_limit_is_one_standard_error_of_the_difference():
    difference = np.array([0.0, 2.0, 0.0, 2.0])  # standard deviation 2 / sqrt(3), so the error is 1 / sqrt(3)
    error, hard = 3**-0.5, 100 * np.arange(4.0)  # rows that are hard for both do not matter
    for shift, verdict in ((-1 + error - 1e-9, True), (-1 + error + 1e-9, False)):
        assert is_as_good(hard + difference + shift, hard) is verdict


def test_losses_that_are_no_numbers_are_not_as_good():
    losses = np.ones(50)
    with np.errstate(invalid="ignore"):
        assert not is_as_good(np.full(50, np.nan), losses)
        assert not is_as_good(np.full(50, np.inf), losses)


def ladder_losses(worse):
    """Losses of 50 rows: equal for all sizes but those in ``worse``."""
    return lambda size: np.full(50, 2.0 if str(size) in worse else 1.0)


@pytest.mark.parametrize(
    ("worse", "found"),
    [
        ((), "0x16"),
        (("0x16",), "0x24"),
        (("0x24",), "0x32"),
        (("2x32",), "3x32"),  # the first that is worse ends the way down, though 1x32 would do again
        (("3x32",), "4x32"),
    ],
)
def test_the_way_down_ends_before_the_first_size_that_is_worse(worse, found):
    assert str(smallest_sufficient(HeadSize(4, 32), ladder_losses(worse), 50)) == found


def test_each_size_is_fitted_once():
    asked = []

    def losses_of(size):
        asked.append(str(size))
        return np.ones(50)

    smallest_sufficient(HeadSize(1, 24), losses_of, 50)
    assert asked == ["1x24", "0x24", "0x16"]


def test_few_rows_take_the_smallest_head_unseen():
    def losses_of(size):
        raise AssertionError

    assert smallest_sufficient(HeadSize(4, 32), losses_of, 39) == SMALLEST
    assert smallest_sufficient(SMALLEST, losses_of, 100) == SMALLEST


@pytest.mark.parametrize("count", [40, 41, 44, 103])
def test_every_row_is_held_out_once_and_trained_on_four_times(count):
    train, held_out = fold_rows(count, generator(1, "folds"))
    used = count // 5 * 5
    assert held_out.shape == (5, used // 5)
    assert len(set(held_out.ravel())) == used
    for fold in range(5):
        assert sorted([*train[fold], *held_out[fold]]) == sorted(held_out.ravel())
