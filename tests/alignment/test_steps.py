import numpy as np
import pytest
from scipy.linalg import solve_sylvester

from eafl_flower.alignment import Alignment, Pilots, Statistics, User, statistics_of
from eafl_flower.alignment.steps import onto_budget, pilot_covariance, solve_for_equalizer, solve_for_precoder
from eafl_flower.errors import ConfigError, DataError, ProtocolError
from eafl_flower.radio.mimo import behind, complex_normal, draw_channel, through

RNG = np.random.default_rng(7)
N, K, M, D = 40, 3, 8, 5
S, CHANNEL, F = complex_normal((D, N), 1.0, RNG), draw_channel(2, 2, RNG), complex_normal((2 * K, M), 1.0, RNG)
SIGMA = 0.3


def white_pilots(seed=1, n=N):
    raw = complex_normal((M, n), 1.0, np.random.default_rng(seed))
    return np.sqrt(n - 1) * np.linalg.svd(raw, full_matrices=False)[2]


X = white_pilots()
COLOURED = complex_normal((M, N), 1.0, np.random.default_rng(2))
USER = User(channel=CHANNEL, noise_std=SIGMA, known=Pilots(latents=S))


def objective(equalizer, precoder, pilots=X):
    received = through(CHANNEL, precoder @ pilots)
    misfit = np.linalg.norm(S - equalizer @ received) ** 2 / N
    return misfit + SIGMA**2 * np.linalg.norm(equalizer) ** 2


def test_no_small_change_of_the_equalizer_lowers_the_objective():
    received = through(CHANNEL, F @ X)
    found = USER.equalizer(received)
    gradient = (found @ received - S) @ received.conj().T / N + SIGMA**2 * found
    assert np.abs(gradient).max() < 1e-12
    for _ in range(20):
        step = 1e-3 * complex_normal(found.shape, 1.0, RNG)
        assert objective(found + step, F) > objective(found, F)


def test_the_regularizer_is_the_mean_of_what_noise_costs():
    equalizer = complex_normal((D, 2 * K), 1.0, RNG)
    costs = np.array(
        [np.linalg.norm(equalizer @ complex_normal((2 * K, N), SIGMA**2, RNG)) ** 2 / N for _ in range(2000)]
    )
    expected = SIGMA**2 * np.linalg.norm(equalizer) ** 2
    assert abs(costs.mean() - expected) < 5 * costs.std() / np.sqrt(len(costs))


@pytest.mark.parametrize("pilots", [X, COLOURED], ids=["white", "coloured"])
def test_sums_over_pilots_give_what_the_pilots_give(pilots):
    by_statistics = User(channel=CHANNEL, noise_std=SIGMA, known=statistics_of(S, pilots))
    received, heard = through(CHANNEL, F @ pilots), by_statistics.hears(F)
    equalizer, answer = USER.answer(received)
    same, short = by_statistics.answer(heard)
    np.testing.assert_allclose(same, equalizer, atol=1e-12)
    np.testing.assert_allclose(short.gram, answer.gram, atol=1e-12)
    np.testing.assert_allclose(short.cross, answer.cross @ pilots.conj().T / (N - 1), atol=1e-12)
    expected = objective(equalizer, F, pilots)
    assert USER.objective(equalizer, received) == pytest.approx(expected, rel=1e-12)
    assert by_statistics.objective(equalizer, heard) == pytest.approx(expected, rel=1e-12)


def test_an_answer_is_of_the_equalizer_behind_the_channel():
    equalizer, answer = USER.answer(through(CHANNEL, F @ X))
    combined = behind(equalizer, CHANNEL)
    np.testing.assert_allclose(answer.gram, combined.conj().T @ combined, atol=1e-14)
    np.testing.assert_allclose(answer.cross, combined.conj().T @ S, atol=1e-14)


def test_without_noise_the_equalizer_is_the_least_squares_one_of_least_norm():
    wide = complex_normal((12, M), 1.0, RNG)  # more symbols than dimensions: the Gram matrix is singular
    received = through(CHANNEL, wide @ X)
    found = User(channel=CHANNEL, noise_std=0.0, known=Pilots(latents=S)).equalizer(received)
    np.testing.assert_allclose(found, S @ np.linalg.pinv(received), atol=1e-9)


def test_some_users_without_noise_do_not_change_the_others():
    gram = np.stack([np.diag([1.0, 0.0]), np.diag([1.0, 2.0])]).astype(complex)
    found = solve_for_equalizer(gram, np.ones((2, 2, 1), complex), np.array([0.0, 1.0]))
    np.testing.assert_allclose(found[..., 0], [[1.0, 0.0], [1 / 2, 1 / 3]], atol=1e-12)


@pytest.mark.parametrize(("regularizer", "shape"), [("code_diag", np.eye(6)), ("code_broadcast", np.ones((6, 6)))])
def test_released_regularizers_are_what_the_code_adds(regularizer, shape):
    received = through(CHANNEL, F @ X)
    user = User(channel=CHANNEL, noise_std=SIGMA, known=Pilots(latents=S), regularizer=regularizer)
    matrix = received @ received.conj().T + N * SIGMA * (1 + 1j) * shape
    np.testing.assert_allclose(user.equalizer(received), S @ received.conj().T @ np.linalg.inv(matrix), atol=1e-10)


def test_noise_in_many_pilots_regularises_by_itself():
    n, rng = 100_000, np.random.default_rng(3)
    precoder, latents = complex_normal((2, M), 1.0, rng), complex_normal((D, M), 1.0, rng)
    pilots = white_pilots(n=n)
    known = Pilots(latents=latents @ pilots)
    received = through(CHANNEL, precoder @ pilots)
    noisy = received + complex_normal(received.shape, SIGMA**2, rng)
    found = User(channel=CHANNEL, noise_std=SIGMA, known=known, regularizer="none").equalizer(noisy)
    gram, cross = known.sums(received)
    misfit = found @ (gram + SIGMA**2 * np.eye(2)) - cross.conj().T
    # It is the mean over pilots of (s - G a) w^H - G w a^H - G (w w^H - sigma^2 I), with noise w: three sums of n terms
    # each, whose standard deviations follow.
    errors = np.linalg.norm(known.latents - found @ received, axis=1, keepdims=True) / np.sqrt(n)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    deviation = SIGMA * (errors + norms * (np.linalg.norm(received, axis=1) / np.sqrt(n) + SIGMA))
    assert (np.abs(misfit) < 5 * deviation / np.sqrt(n)).all()


@pytest.mark.parametrize("pilots", [X, COLOURED], ids=["white", "coloured"])
def test_the_precoder_solves_the_sylvester_equation(pilots):
    rho, target = 0.7, complex_normal(F.shape, 1.0, RNG)
    combined = behind(USER.equalizer(through(CHANNEL, F @ pilots)), CHANNEL)
    gram, cross = combined.conj().T @ combined, combined.conj().T @ S @ pilots.conj().T
    inverse = np.linalg.inv(pilots @ pilots.conj().T)
    reference = solve_sylvester(gram, rho * N * inverse, (cross + rho * N * target) @ inverse)
    found = solve_for_precoder(gram, cross / (N - 1), target, rho * N / (N - 1), pilot_covariance(pilots))
    np.testing.assert_allclose(found, reference, atol=1e-10)


@pytest.mark.parametrize("pilots", [X, COLOURED], ids=["white", "coloured"])
def test_no_small_change_of_the_precoder_lowers_what_it_minimises(pilots):
    rho, target = 0.7, complex_normal(F.shape, 1.0, RNG)
    equalizer = USER.equalizer(through(CHANNEL, F @ pilots))
    combined = behind(equalizer, CHANNEL)
    cross = combined.conj().T @ S @ pilots.conj().T / (N - 1)
    covariance = pilot_covariance(pilots)
    found = solve_for_precoder(combined.conj().T @ combined, cross, target, rho * N / (N - 1), covariance)

    def lagrangian(precoder):
        return objective(equalizer, precoder, pilots) + rho * np.linalg.norm(precoder - target) ** 2

    for _ in range(20):
        assert lagrangian(found + 1e-3 * complex_normal(found.shape, 1.0, RNG)) > lagrangian(found)


def test_a_copy_over_the_budget_is_the_nearest_within_it():
    matrix, power = 3.0 * F, 2.0
    found = onto_budget(matrix, power)
    assert np.linalg.norm(found) ** 2 == pytest.approx(power)
    for _ in range(2000):
        other = complex_normal(F.shape, 1.0, RNG)
        other *= np.sqrt(power * RNG.uniform()) / np.linalg.norm(other)
        assert np.linalg.norm(other - matrix) >= np.linalg.norm(found - matrix)
    np.testing.assert_array_equal(onto_budget(matrix, 1e6), matrix)


def test_pilots_that_do_not_match_are_refused():
    with pytest.raises(DataError, match="40 pilots at the user, 39 at the access point: expected the same data"):
        statistics_of(S, X[:, 1:])
    broken = S.copy()
    broken[0, 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        statistics_of(broken, X)
    with pytest.raises(DataError, match="expected a matrix"):
        Pilots(latents=S[0])
    with pytest.raises(DataError, match=r"covariance of the pilots is \(2, 2\): expected \(8, 8\)"):
        Statistics(latents=np.ones((D, M), complex), covariance=np.eye(2), num_pilots=N, energy=1.0)
    with pytest.raises(DataError, match="1 pilots"):
        statistics_of(S[:, :1], X[:, :1])
    with pytest.raises(DataError, match="energy nan"):
        Statistics(latents=np.ones((D, M), complex), num_pilots=N, energy=np.nan)


@pytest.mark.parametrize("received", [np.ones((6, N - 1)), np.ones((5, N)), np.ones(N), np.full((6, N), np.nan)])
def test_what_cannot_have_been_sent_is_refused(received):
    with pytest.raises(ProtocolError, match="received"):
        USER.answer(received)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"noise_std": -1.0}, "noise_std = -1.0"),
        ({"noise_std": np.nan}, "noise_std = nan"),
        ({"channel": np.ones(3)}, "channel is"),
        ({"regularizer": "snr"}, "expected one of identity, code_broadcast"),
    ],
)
def test_a_user_that_cannot_be_is_refused(changes, told):
    with pytest.raises(ConfigError, match=told):
        User(**{"channel": CHANNEL, "noise_std": SIGMA, "known": Pilots(latents=S), **changes})


def test_the_automatic_penalty_depends_on_the_signal_to_noise_ratio():
    assert [Alignment(rho="auto").penalty(snr_db) for snr_db in (-10.0, 0.0, 10.0, 20.0)] == [10.0, 10.0, 1.0, 1.0]
    assert Alignment(rho=3).penalty() == 3.0
    with pytest.raises(ConfigError, match="give snr_db"):
        Alignment(rho="auto").penalty()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rho": 0.0}, 'expected a number above 0 or "auto"'),
        ({"rho": "large"}, 'expected a number above 0 or "auto"'),
        ({"rho": True}, 'expected a number above 0 or "auto"'),
        ({"power": 0.0}, "power = 0.0: expected a number above 0"),
        ({"channel_uses": 0}, "channel_uses = 0"),
        ({"links": "multi-link", "aggregation": "joint"}, "nothing to aggregate"),
        ({"aggregation": "median"}, 'expected "average", "joint" or "consensus"'),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, told):
    with pytest.raises(ConfigError, match=told):
        Alignment(**settings)
