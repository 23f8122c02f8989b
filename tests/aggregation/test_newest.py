import numpy as np
import pytest

from eafl_flower.aggregation.ahead import SERVED_SHARE
from eafl_flower.aggregation.barrier import combine
from eafl_flower.aggregation.newest import ROUNDS_KEPT, NewestMean
from eafl_flower.core.orders import Order
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.types import Arrays, Update


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float64)


def update(client: int, delta: Arrays, base: Arrays, version: int, *, examples: int = 1) -> Update:
    base = tuple(a.copy() for a in base)
    return Update(client=client, delta=delta, base=base, base_version=version, num_examples=examples)


def asynchronously(aggregator: NewestMean, train, *, clients: int, merges: int, start: Arrays, slow=lambda client: 1):
    """Let all clients train at once; each goes on from the newest arrays when it has answered."""
    state = aggregator.init(start)
    jobs = [(slow(c), c, tuple(a.copy() for a in start), 0) for c in range(clients)]
    path = [start[0].copy()]
    while state.version < merges:
        jobs.sort(key=lambda job: job[:2])
        ends, client, base, version = jobs.pop(0)
        delta = tuple(n - b for n, b in zip(train(client, base), base, strict=True))
        state, _ = aggregator.apply(state, [update(client, delta, base, version, examples=1)])
        path.append(aggregator.arrays(state, Order())[0].copy())
        jobs.append(
            (ends + slow(client), client, tuple(a.copy() for a in aggregator.arrays(state, Order())), state.version)
        )
    return state, path


def test_updates_of_one_version_give_the_mean_of_fedavg():
    rng = np.random.default_rng(0)
    start = (rng.normal(size=(3, 2)), rng.normal(size=4))
    aggregator = NewestMean(clients=5, norm_guard=0.0)
    state = aggregator.init(start)
    updates = [
        update(c, tuple(rng.normal(size=a.shape) for a in start), start, 0, examples=int(rng.integers(1, 99)))
        for c in range(5)
    ]
    for one in updates:
        state, _ = aggregator.apply(state, [one])
    mean = combine(updates).delta
    for got, begun, moved in zip(aggregator.arrays(state, Order()), start, mean, strict=True):
        np.testing.assert_allclose(got, begun + moved, rtol=1e-12)


def test_a_client_that_answers_again_takes_its_own_place():
    start = (zeros(1),)
    aggregator = NewestMean(clients=2, norm_guard=0.0, weight_by_examples=False)
    state = aggregator.init(start)
    for client, goal in ((0, -2.0), (1, -4.0), (1, -6.0), (1, -8.0)):
        state, _ = aggregator.apply(state, [update(client, (zeros(1) + goal,), start, 0)])
    assert state.mean[0][0] == pytest.approx((-2.0 - 8.0) / 2)


@pytest.mark.parametrize("slowness", [1, 3, 7])
def test_where_training_ends_at_the_optimum_no_delay_makes_it_diverge_or_leaves_an_error(slowness):
    goals = np.array([-1.0, 0.5, 4.0, 2.0])

    def train(client: int, base: Arrays) -> Arrays:
        return (np.full_like(base[0], goals[client]),)  # lambda = 1

    state, _ = asynchronously(
        NewestMean(clients=4, norm_guard=0.0),
        train,
        clients=4,
        merges=400,
        start=(np.array([50.0, -50.0]),),
        slow=lambda client: slowness if client % 2 else 1,
    )
    np.testing.assert_allclose(state.arrays[0], goals.mean(), atol=1e-9)


@pytest.mark.parametrize("contraction", [0.05, 0.3, 0.7, 1.0, 1.3, 1.6, 1.9])
def test_it_converges_wherever_fedavg_does(contraction):
    goals = np.linspace(-1, 1, 6)

    def train(client: int, base: Arrays) -> Arrays:
        return (base[0] + contraction * (goals[client] - base[0]),)

    _, path = asynchronously(
        NewestMean(clients=6, norm_guard=0.0), train, clients=6, merges=900, start=(np.array([8.0, -8.0]),)
    )
    assert abs(path[-1][0] - goals.mean()) < 0.05
    assert max(abs(p[0]) for p in path) < 1.5 * (8.0 + contraction * 8.0)


def test_slow_directions_go_at_least_as_fast_as_with_fedavg():
    rate, clients, rounds = 0.02, 8, 25

    def train(client: int, base: Arrays) -> Arrays:
        return (base[0] * (1 - rate),)

    _, path = asynchronously(
        NewestMean(clients=clients, norm_guard=0.0),
        train,
        clients=clients,
        merges=clients * rounds,
        start=(np.array([1.0, -1.0]),),
    )
    assert path[-1][0] < (1 - rate) ** (rounds + 5)


def test_where_the_way_goes_on_and_on_it_is_gone_twice_as_fast_as_with_fedavg():
    """The speed v solves v = w / A (1 - 0.95 g), g = 3 (w / v - 0.3): 1.9 w for A = 1.44, 2 w for A = 1.375."""
    clients, way = 8, np.array([0.05, -0.1])

    def train(client: int, base: Arrays) -> Arrays:
        return (base[0] + way,)

    start = (np.array([1.0, -1.0]),)
    _, path = asynchronously(
        NewestMean(clients=clients, norm_guard=0.0), train, clients=clients, merges=clients * 60, start=start
    )
    speed = (path[-1] - path[-1 - clients]) / way
    np.testing.assert_allclose(speed, 1.95, rtol=0.05)


def test_the_lead_is_given_up_when_the_newest_updates_turn_back():
    aggregator = NewestMean(clients=4, norm_guard=0.0)
    state = aggregator.init((np.array([1.0, -1.0]),))
    for merge in range(44):
        delta = (np.array([0.1, 0.1]) if merge < 40 else np.array([-0.1, -0.1]),)
        state, _ = aggregator.apply(state, [update(merge % 4, delta, aggregator.arrays(state, Order()), state.version)])
        if merge == 39:
            assert (state.arrays[0] - state.mean[0] > 0.05).all()
    np.testing.assert_array_equal(state.arrays[0], state.mean[0])


@pytest.mark.parametrize(("length", "step"), [(0.2, 1.0), (0.07, 1.0), (0.007, 10.0), (1e-5, 64.0)])
def test_steps_are_lengthened_where_all_clients_hardly_move(length, step):
    """To 7 % of the array that moves most; an array of zeros is taken to be as long as a fresh one."""
    start = (np.full(4, 5.0), np.zeros((3, 3)))  # 10 and sqrt(3) long
    aggregator = NewestMean(clients=2, norm_guard=0.0)
    state = aggregator.init(start)
    delta = (np.full(4, -length * 10.0 / 2) / 3, np.diag([length, -length, -length]))
    for client in (0, 1):
        state, (merged,) = aggregator.apply(state, [update(client, delta, start, 0)])
    expected = start[1] + step * delta[1]
    np.testing.assert_allclose(state.mean[1], expected, rtol=1e-12)
    assert merged.weight == pytest.approx(step / 2)


def test_a_long_update_ends_the_lengthening_for_good():
    start = (np.full(4, 5.0),)
    aggregator = NewestMean(clients=2, norm_guard=0.0)
    state = aggregator.init(start)
    for merge, length in enumerate((0.001, 0.001, 0.2, 0.001, 0.001, 0.001)):
        delta = (np.array([1.0, -1.0, 1.0, -1.0]) * length * 5,)
        state, (merged,) = aggregator.apply(
            state, [update(merge % 2, delta, aggregator.arrays(state, Order()), state.version)]
        )
        assert (merged.weight > 0.5) == (merge < 2)


def test_variances_and_counters_are_not_extrapolated():
    start = (np.array([1.0, 2.0]), np.array([3], np.int64), np.array([-1.0, 1.0]))
    aggregator = NewestMean(clients=1, norm_guard=0.0)
    state = aggregator.init(start)
    for _ in range(6):
        base = tuple(a.copy() for a in aggregator.arrays(state, Order()))
        new = (base[0] * 0.2, base[1] + 2, base[2] * 0.2)
        delta = tuple(n - b for n, b in zip(new, base, strict=True))
        state, _ = aggregator.apply(state, [update(0, delta, base, max(0, state.version - 2))])
        assert (aggregator.arrays(state, Order())[0] > 0).all()
    assert aggregator.arrays(state, Order())[1].tolist() == [15]


def test_infinite_elements_that_do_not_change_stay():
    start = (np.array([-np.inf, 0.0]),)
    aggregator = NewestMean(clients=2)
    state = aggregator.init(start)
    for client in (0, 1, 0):
        base = tuple(a.copy() for a in aggregator.arrays(state, Order()))
        state, _ = aggregator.apply(state, [update(client, (np.array([0.0, 1.0]),), base, state.version)])
    assert aggregator.arrays(state, Order())[0][0] == -np.inf
    assert np.isfinite(aggregator.arrays(state, Order())[0][1])


def test_only_as_many_models_as_a_round_has_are_kept_and_none_for_long():
    start = (zeros(1),)
    aggregator = NewestMean(clients=3)
    state = aggregator.init(start)
    for client in (0, 1, 2, 3, 4):
        state, _ = aggregator.apply(state, [update(client, (zeros(1) + 1,), start, 0)])
    assert list(state.newest) == [2, 3, 4]
    for _ in range(ROUNDS_KEPT * 3 + 1):
        state, _ = aggregator.apply(state, [update(4, (zeros(1) + 1,), start, 0)])
    assert list(state.newest) == [4]


@pytest.mark.parametrize("place", [0, 1, 3])
def test_no_claim_of_examples_decides_for_all_not_even_the_first(place):
    """It weighs as a hundred clients of median size at most, with those who have not answered yet and without."""
    start = (np.array([1.0, -1.0], np.float32), np.array([2], np.int64))
    aggregator = NewestMean(clients=5, norm_guard=0.0)
    state = aggregator.init(start)
    counts = [10, 12, 8, 10]
    counts.insert(place, 2**53)
    goals = [2.0, 3.0, 4.0, 5.0, 6.0]
    known = []
    for client, (goal, count) in enumerate(zip(goals, counts, strict=True)):
        delta = (np.full(2, goal, np.float32) - start[0], np.array([1], np.int64))
        state, _ = aggregator.apply(state, [update(client, delta, start, 0, examples=count)])
        known = [min(n, 100 * sorted([*known, count])[client // 2]) for n in (*known, count)]
        if client:
            waiting = (4 - client) * np.mean(known)
            expected = (np.dot(known, goals[: client + 1]) + waiting * start[0]) / (sum(known) + waiting)
            np.testing.assert_allclose(state.mean[0], expected, rtol=1e-5)
    assert state.mean[1].tolist() == [7]
    assert [m.weight for m in state.newest.values()] == known


def test_clients_without_any_examples_weigh_alike_and_next_to_nothing_beside_others():
    start = (zeros(1),)
    aggregator = NewestMean(clients=2, norm_guard=0.0)
    state = aggregator.init(start)
    for client, goal in ((0, 2.0), (1, 4.0)):
        state, _ = aggregator.apply(state, [update(client, (zeros(1) + goal,), start, 0, examples=0)])
    assert aggregator.arrays(state, Order())[0][0] == pytest.approx(3.0)
    state = aggregator.init(start)
    for client, goal, examples in ((0, 2.0, 10), (1, 4.0, 0)):
        state, _ = aggregator.apply(state, [update(client, (zeros(1) + goal,), start, 0, examples=examples)])
    assert aggregator.arrays(state, Order())[0][0] == pytest.approx(2.0, abs=0.01)


def test_refused_updates_and_wrong_settings_are_told():
    with pytest.raises(ConfigError, match="clients = 0: expected an integer of at least 1"):
        NewestMean(clients=0)
    aggregator = NewestMean(clients=2)
    state = aggregator.init((zeros(1),))
    one = update(0, (zeros(1),), (zeros(1),), 0)
    with pytest.raises(
        ConfigError, match="NewestMean merges one update at a time, 2 were given: it cannot stand behind"
    ):
        aggregator.apply(state, [one, one])
    with pytest.raises(ValueError, match="no base"):
        aggregator.apply(state, [Update(client=0, delta=(zeros(1),), base_version=0, num_examples=1)])
    with pytest.raises(UpdateRefusedError):
        aggregator.apply(state, [update(0, (zeros(1) + np.nan,), (zeros(1),), 0)])


def test_what_is_served_follows_the_mean_and_is_it_at_first():
    start = (np.array([1.0, -1.0]), np.array([3], np.int64))
    aggregator = NewestMean(clients=2, norm_guard=0.0)
    state = aggregator.init(start)
    average = start[0]
    for merge, client in enumerate((0, 1, 0, 1, 0, 1, 0, 1), start=1):
        base = tuple(a.copy() for a in aggregator.arrays(state, Order()))
        delta = (np.array([0.5, -2.0]) * (client + 1) - base[0], np.array([1], np.int64))
        state, _ = aggregator.apply(state, [update(client, delta, base, state.version)])
        now = state.mean[0]
        average = average + SERVED_SHARE / 2 * (now - average)
        lean = {1: 1.0, 2: 1.0, 3: 0.75, 4: 0.5, 5: 0.25}.get(merge, 0.0)
        expected = lean * now + (1 - lean) * average
        np.testing.assert_allclose(aggregator.arrays(state)[0], expected, rtol=1e-12)
        assert aggregator.arrays(state)[1].tolist() == [3 + merge]
