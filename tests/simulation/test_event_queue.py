import copy

import pytest

from eafl_flower.core.rng import generator
from eafl_flower.core.state import flatten, restore
from eafl_flower.errors import CheckpointError
from eafl_flower.simulation import ARRIVAL, DEADLINE, JOIN, KINDS, UPLOAD_START, VANISH, Event, EventQueue


def event(time_s, client=0, kind=ARRIVAL, counter=1):
    return Event(time_s=time_s, client=client, kind=kind, counter=counter)


def filled(events):
    queue = EventQueue()
    for e in events:
        queue.push(e)
    return queue


def drained(queue):
    return [queue.pop() for _ in range(len(queue))]


def random_events(purpose, num_events=300):
    rng = generator(1, purpose)
    # few distinct times, so that most comparisons are ties
    return [
        event(float(rng.integers(10)), int(rng.integers(4)), KINDS[rng.integers(len(KINDS))], int(rng.integers(3)))
        for _ in range(num_events)
    ]


def test_events_come_out_by_time_then_client_then_kind_however_they_went_in():
    events = random_events("order")
    expected = sorted(events, key=lambda e: (e.time_s, e.client, KINDS.index(e.kind), e.counter))
    shuffled = [events[i] for i in generator(1, "shuffle").permutation(len(events))]
    assert drained(filled(events)) == drained(filled(shuffled)) == expected


def test_a_reply_at_the_very_deadline_counts():
    queue = filled([event(1.0, kind=k) for k in (JOIN, VANISH, DEADLINE, ARRIVAL, UPLOAD_START)])
    assert [e.kind for e in drained(queue)] == [UPLOAD_START, ARRIVAL, DEADLINE, VANISH, JOIN]


def test_time_follows_the_events_and_never_runs_backwards():
    queue = filled(random_events("time"))
    assert queue.now_s == 0.0
    before_s = 0.0
    while queue:
        following = queue.peek()
        assert queue.pop() == following
        assert queue.now_s == following.time_s >= before_s
        before_s = queue.now_s


def test_nothing_is_pushed_into_the_past_or_to_no_time_at_all():
    queue = filled([event(2.0)])
    queue.pop()
    queue.push(event(2.0))
    for time_s in (1.999, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"expected a finite time from now on \(2\.0 s\)"):
            queue.push(event(time_s))
    assert len(queue) == 1


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"kind 'party': expected one of upload-start, arrival"):
        EventQueue().push(event(1.0, kind="party"))


def test_an_empty_queue_has_no_next_event():
    assert EventQueue().peek() is None
    with pytest.raises(IndexError, match="no event is left"):
        EventQueue().pop()


def test_cancelling_a_job_drops_its_events_and_no_others():
    events = random_events("cancel")
    queue = filled(events)
    gone = [e for e in events if (e.client, e.counter) == (2, 1)]
    assert queue.cancel(2, 1) == len(gone) > 0
    assert queue.cancel(2, 1) == 0
    assert len(queue) == len(events) - len(gone)
    assert drained(queue) == drained(filled([e for e in events if e not in gone]))


def test_a_cancelled_job_can_get_new_events():
    queue = filled([event(1.0), event(5.0)])
    queue.cancel(0, 1)
    assert queue.peek() is None
    queue.push(event(3.0))
    assert drained(queue) == [event(3.0)]


def test_cancelled_events_do_not_pile_up():
    queue = EventQueue()
    for counter in range(10_000):
        queue.push(event(1e6, counter=counter))
        queue.cancel(0, counter)
    assert len(queue) == 0
    assert len(queue._heap) <= 65


def test_a_stored_queue_goes_on_as_if_never_stored():
    queue = filled(random_events("stored"))
    for _ in range(100):
        queue.pop()
    queue.cancel(1, 2)
    arrays, tree = flatten(queue.snapshot())
    resumed = EventQueue.restore(restore((), arrays, copy.deepcopy(tree)))
    assert arrays == {}
    assert resumed.now_s == queue.now_s
    assert resumed.snapshot() == queue.snapshot()
    for q in (queue, resumed):
        q.push(event(20.0, client=9))
        q.cancel(3, 0)
    assert drained(resumed) == drained(queue)


@pytest.mark.parametrize(
    "damaged", [(), (1.0,), (1.0, ((0.5, 0, ARRIVAL, 1),)), (0.0, ((1.0, 0, "party", 1),)), (0.0, ((1.0, 0),)), None]
)
def test_a_damaged_snapshot_is_a_checkpoint_error(damaged):
    with pytest.raises(CheckpointError, match="stored event queue is damaged"):
        EventQueue.restore(damaged)
