"""What becomes of a job whose vehicle leaves: what it chooses, what that costs, and what it could not know."""

import math
from dataclasses import replace

import pytest
from roadside_paths import Surprised, Timetable

from eafl_flower.errors import ConfigError
from eafl_flower.roadside.churn import WhileServed
from eafl_flower.roadside.leaving import Course, Departures, Expected, course_of
from eafl_flower.roadside.parked import Parked

JOB = Expected(epochs=4, epoch_s=10.0, epoch_j=5.0, upload_s=6.0, upload_j=2.0)  # 46 s in all


def course(*way, job=JOB, departures=None, time_s=0.0, **coverage):
    return course_of(Timetable(ways=(way,), **coverage), 0, time_s, job, departures or Departures())


def test_a_job_that_ends_before_its_vehicle_leaves_is_whole():
    assert course((0, 46.0), (1, 99.0)) == Course(epochs=4, until_s=46.0)
    assert course_of(Parked(), 3, 7.0, JOB, Departures()) == Course(epochs=4, until_s=math.inf)


def test_without_a_next_unit_it_uploads_early_what_it_has():
    found = course((0, 40.0), (-1, 99.0))  # 20 s left after two epochs: one more and the upload take 16
    assert found == Course(epochs=3, until_s=40.0, leaving="early")


def test_with_a_next_unit_it_takes_what_costs_less():
    way = (0, 40.0), (1, 70.0), (-1, 99.0)
    best = replace(JOB, behind=0.0, best=80.0)
    behind = replace(JOB, behind=0.7, best=80.0)
    assert course(*way, job=best).leaving == "early"  # 0 against 0.2 x 6 + 0.05 x 2 = 1.3
    assert course(*way, job=behind) == Course(epochs=4, until_s=70.0, leaving="migrate")  # 1.4 against 1.3
    assert course(*way, job=behind, departures=Departures(time_weight=0.3)).leaving == "early"  # against 1.9


def test_it_gives_up_where_nothing_else_is_possible_and_when_that_costs_least():
    short = (0, 14.0), (-1, 99.0)  # after one epoch 4 s are left, the upload takes 6
    assert course(*short, departures=Departures(choices=("abandon",))) == Course(
        epochs=4, until_s=0.0, leaving="abandon"
    )
    hopeful = course(*short, hope=5.0)  # it saw only after the second epoch that it would have to go: too late
    assert hopeful == Course(epochs=4, until_s=14.0)
    surprised = Surprised(ways=(short,))
    assert course_of(surprised, 0, 0.0, JOB, Departures()) == Course(epochs=4, until_s=10.0, leaving="abandon")
    nothing_known = replace(JOB, behind=30.0, best=0.0)
    assert course((0, 40.0), (-1, 99.0), job=nothing_known).leaving == "abandon"  # 0.05 x 15 against 60


def test_a_job_is_lost_if_its_vehicle_does_nothing_or_was_wrong():
    nothing = Departures(choices=())
    assert course((0, 40.0), (1, 99.0), departures=nothing) == Course(epochs=4, until_s=40.0)
    assert course((0, 40.0), (1, 99.0), hope=10.0) == Course(epochs=4, until_s=40.0)


def test_a_job_that_migrates_into_the_dark_ends_there():
    wrong = Wrong(ways=(((0, 40.0), (-1, 99.0)),))
    job = replace(JOB, behind=50.0, best=80.0)
    assert course_of(wrong, 0, 0.0, job, Departures()) == Course(epochs=4, until_s=40.0, leaving="migrate")


class Wrong(Timetable):
    """Expects a unit where none is."""

    def predicted_next_unit(self, time_s, vehicles):
        return [1]


def test_decisions_rest_on_nothing_later():
    """Of two ways that are the same until the decision, and predicted alike, both give the same choice."""

    class Blind(Timetable):
        def predicted_stay_s(self, time_s, vehicles):
            return [50.0 - time_s]

        def predicted_next_unit(self, time_s, vehicles):
            return [1]

    job = replace(JOB, behind=5.0, best=80.0)
    ways = [((0, end), (1, 200.0)) for end in (45.0, 55.0, 120.0)]
    found = [course_of(Blind(ways=(way,)), 0, 8.0, job, Departures()) for way in ways]
    assert {(f.leaving, f.epochs) for f in found} == {("migrate", 4)}


def test_other_choices_are_refused():
    with pytest.raises(ConfigError, match="expected some of early, migrate, abandon"):
        Departures(choices=("teleport",))


def test_a_vehicle_is_there_while_any_unit_covers_it():
    timetable = Timetable(ways=(((0, 10.0), (1, 20.0), (-1, 30.0), (2, 40.0), (-1, 50.0)), ((-1, 5.0), (1, 6.0))))
    reach = WhileServed(timetable)
    assert [reach.interval(0, t) for t in (0.0, 15.0, 20.0, 35.0, 45.0)] == [
        (True, 20.0),
        (True, 20.0),
        (False, 30.0),
        (True, 40.0),
        (False, math.inf),
    ]
    assert reach.interval(1, 2.0) == (False, 5.0) and reach.interval(1, 5.0) == (True, math.inf)
    assert WhileServed(Parked()).interval(7, 1e6) == (True, math.inf)
