import pytest

from eafl_flower.errors import DataError
from eafl_flower.tasks.passes import steps_per_pass


def test_an_epoch_visits_every_row_once():
    assert steps_per_pass(33, 16, epochs=2, steps=None) == [3, 3]


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 50])
def test_a_number_of_steps_is_met_exactly(steps):
    plan = steps_per_pass(20, 16, epochs=None, steps=steps)
    assert sum(plan) == steps
    assert all(batches == 2 for batches in plan[:-1])


def test_no_rows_are_an_error():
    with pytest.raises(DataError, match="no training rows"):
        steps_per_pass(0, 16, epochs=1, steps=None)


@pytest.mark.parametrize("length", [{"epochs": None, "steps": None}, {"epochs": 1, "steps": 1}])
def test_the_length_of_a_job_is_given_in_one_way(length):
    with pytest.raises(ValueError, match="either epochs or steps"):
        steps_per_pass(20, 16, **length)
