import math

import numpy as np

from eafl_flower.ranks.costs import deadline_s, fits, no_costs, predicted_s, with_end, with_job


def seen(*jobs):
    costs = no_costs(3)
    for vehicle, arm, time_s in jobs:
        costs = with_job(costs, vehicle, arm, time_s=time_s, energy_j=2 * time_s)
    return costs


def test_a_vehicle_of_which_nothing_is_known_takes_as_long_as_the_others():
    costs = seen((0, 0, 1.0), (1, 0, 3.0), (0, 2, 8.0))
    assert predicted_s(costs, 7, 0.0).tolist() == [2.0, 2.0, 8.0]


def test_a_vehicle_takes_longer_by_what_it_took_longer_so_far():
    costs = seen(*[(v, arm, (1 + v) * (1 + arm)) for arm in range(3) for v in (0, 1)] * 50)
    slow, fast = predicted_s(costs, 1, 0.0), predicted_s(costs, 0, 0.0)
    np.testing.assert_allclose(slow / fast, 2.0, rtol=0.05)
    np.testing.assert_allclose(slow, [2.0, 4.0, 6.0], rtol=0.05)


def test_no_job_is_predicted_to_end_before_its_computation():
    assert predicted_s(seen((0, 0, 1.0)), 0, 5.0).tolist() == [5.0, 5.0, 5.0]


def test_what_fits_an_endless_stay_is_everything():
    assert fits(no_costs(3), 0, least_s=1e9, dwell_s=math.inf).all()
    assert not fits(no_costs(3), 0, least_s=1.0, dwell_s=1.05).any()


def test_who_has_had_no_job_is_held_against_the_computation_alone_for_one_of_the_smallest_rank():
    """The first to come are slow: a fast one that comes later would never have a first job."""
    slow, stay = seen(*[(0, arm, 30.0) for arm in range(3)] * 5), {"dwell_s": 20.0}
    assert fits(slow, 1, least_s=3.0, **stay).tolist() == [True, False, False]
    assert not fits(slow, 0, least_s=3.0, **stay).any()
    assert not fits(slow, 1, least_s=19.0, **stay).any()
    lost = with_end(slow, 1)  # one try: its first job was lost
    assert not fits(lost, 1, least_s=3.0, **stay).any()
    merged = with_job(lost, 1, 0, time_s=4.0, energy_j=1.0)
    assert fits(merged, 1, least_s=3.0, **stay).all()


def test_costs_are_sums():
    costs = seen((0, 0, 1.0), (1, 0, 3.0), (4, 2, 8.0))
    assert costs.time_s.tolist() == [4.0, 0.0, 8.0]
    assert costs.energy_j.tolist() == [8.0, 0.0, 16.0]
    assert costs.plays.tolist() == [2, 0, 1]
    assert costs.mean_least_j == 4.0 and costs.mean_most_j == 16.0
    assert deadline_s(costs) == 12.0
    assert deadline_s(no_costs(3)) == math.inf
