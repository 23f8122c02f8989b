"""The access point as an aggregator: what it takes, what it refuses, and what it sends to whom."""

from dataclasses import replace

import numpy as np
import pytest
from latent_world import draw_world, scene_of

from eafl_flower.alignment import EVERYBODY, Alignment, as_floats, from_floats
from eafl_flower.alignment.aggregator import AlignmentAggregator
from eafl_flower.alignment.plausible import plausible_gram
from eafl_flower.conformance import check_aggregator
from eafl_flower.core.orders import NO_ORDER
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.radio.mimo import complex_normal
from eafl_flower.types import Update

WORLD = draw_world(pilots=120, tests=20)
SYMBOLS, DIMENSIONS = 8, 12
WAYS = {
    "average": Alignment(),
    "joint": Alignment(aggregation="joint"),
    "consensus": Alignment(aggregation="consensus"),
    "multi-link": Alignment(links="multi-link"),
}
EVERY_WAY = pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)


def start(power=0.5):
    drawn = complex_normal((SYMBOLS, DIMENSIONS), 1.0, np.random.default_rng(3))
    return as_floats(drawn * np.sqrt(power) / np.linalg.norm(drawn))


def by_pilots(settings, **changes):
    scene = scene_of(WORLD, replace(settings, exchange="pilots"))
    channels = tuple(user.channel for user in scene.by_pilots)
    return AlignmentAggregator(
        settings=replace(settings, exchange="pilots"), white=scene.white, channels=channels, **changes
    )


def message(columns):
    """Draw what a user may answer."""

    def draw(rng):
        factor = rng.normal(size=(SYMBOLS, SYMBOLS)) + 1j * rng.normal(size=(SYMBOLS, SYMBOLS))
        return as_floats(factor.conj().T @ factor), rng.normal(size=(2, SYMBOLS, columns))

    return draw


def answer(client=0, seed=0, version=0, **changes):
    gram, cross = message(DIMENSIONS)(np.random.default_rng(seed))
    told = {"gram": gram, "cross": cross, **changes}
    return Update(
        client=client, delta=(told["gram"], told["cross"]), base_version=version, num_examples=9, kind="message"
    )


@EVERY_WAY
def test_an_access_point_keeps_the_contract_of_aggregators(settings):
    for aggregator, columns in (
        (AlignmentAggregator(settings=settings), DIMENSIONS),
        (AlignmentAggregator(settings=settings, synchronous=False), DIMENSIONS),
        (by_pilots(settings), 120),
    ):
        check_aggregator(aggregator, (start(),), zero_update_is_neutral=False, message=message(columns))


@EVERY_WAY
def test_each_user_is_sent_what_it_hears_of_its_own_precoder(settings):
    settings = replace(settings, power=1e-3)  # so that what is deployed is not what the next round is made of
    aggregator = by_pilots(settings, test=np.ones((DIMENSIONS, 5), complex))
    state = aggregator.init((start(),))
    for user in range(2):
        cross = np.random.default_rng(user).normal(size=(2, SYMBOLS, 120))
        state, _ = aggregator.apply(state, [answer(user, version=state.version, cross=cross)])
    if settings.aggregation != "consensus":
        assert not np.allclose(
            *(next(a for key, a in state.known.items() if key.startswith(w)) for w in ("prec", "copy"))
        )
    white, whole = aggregator.white, np.hstack([aggregator.white, aggregator.test])
    for user, channel in enumerate(aggregator.channels):
        blocks = np.kron(np.eye(4), channel)
        link = EVERYBODY if settings.links == "shared" else user
        sent, deployed = (state.known[f"{what} {link}"] for what in ("precoder", "copy"))
        (heard,), (judged,) = aggregator.arrays_of(state, user, NO_ORDER), aggregator.arrays_of(state, user)
        np.testing.assert_allclose(from_floats(heard), blocks @ sent @ white, atol=1e-12)
        np.testing.assert_allclose(from_floats(judged), blocks @ deployed @ whole, atol=1e-12)


def test_a_broadcast_is_the_same_for_all_and_a_private_link_is_not():
    assert not AlignmentAggregator().is_personal
    assert AlignmentAggregator(settings=WAYS["multi-link"]).is_personal
    assert by_pilots(WAYS["average"]).is_personal


def test_before_the_first_answer_what_is_judged_keeps_the_budget():
    aggregator = AlignmentAggregator(settings=Alignment(power=0.25))
    state = aggregator.init((start(power=4.0),))
    assert np.linalg.norm(aggregator.arrays(state)[0]) ** 2 == pytest.approx(0.25)
    np.testing.assert_array_equal(aggregator.arrays(state, NO_ORDER)[0], start(power=4.0))


def test_who_misses_a_round_is_told_with_what_becomes_of_it():
    for keep, words in ((True, "with their last answers"), (False, "not at all until")):
        aggregator = AlignmentAggregator(keep_missing=keep)
        state, told = aggregator.apply(aggregator.init((start(),)), [answer(user) for user in range(3)])
        assert {merged.note for merged in told} == {""}
        assert [merged.weight for merged in told] == [pytest.approx(1 / 3)] * 3
        _, told = aggregator.apply(state, [answer(1, version=1)])
        assert told[0].note.startswith("users 0, 2 have answered before, but not in round 2: they count " + words)
        assert told[0].weight == pytest.approx(1 / 3 if keep else 1.0)


def test_users_at_their_own_pace_are_not_said_to_miss_anything():
    aggregator = AlignmentAggregator(synchronous=False)
    state, _ = aggregator.apply(aggregator.init((start(),)), [answer(0)])
    _, told = aggregator.apply(state, [answer(1)])
    assert (told[0].note, told[0].staleness, told[0].weight) == ("", 1, 0.5)


def refused(words, update, aggregator=None):
    aggregator = aggregator or AlignmentAggregator()
    state = aggregator.init((start(),))
    for look in (lambda: aggregator.check(state, update), lambda: aggregator.apply(state, [answer(1), update])):
        with pytest.raises(UpdateRefusedError, match=words):
            look()
    assert state.known == {}


def test_what_cannot_be_an_answer_is_refused_by_a_line_that_says_why():
    gram = answer().delta[0]
    skew = np.random.default_rng(1).normal(size=gram.shape)
    refused(r"client 0, M\^H M, is not Hermitian \(\d+ % of its norm is skew\): expected M\^H M", answer(gram=skew))
    refused(r"eigenvalue of -.* expected M\^H M, which has none below 0", answer(gram=-gram))
    refused("is not finite", answer(gram=np.full_like(gram, np.nan)))
    refused("is not finite", answer(cross=np.full((2, SYMBOLS, DIMENSIONS), np.inf)))
    refused("expected float64", answer(cross=np.zeros((2, SYMBOLS, DIMENSIONS + 1))))
    refused("expected float64", answer(gram=gram.astype(np.float32)))
    refused(
        r"array 1 of client 0 has values up to 1e\+300",
        answer(cross=np.full((2, SYMBOLS, DIMENSIONS), 1e300)),
    )
    refused(r"array 0 of client 0 has values up to .*, expected none above 1.13e\+15", answer(gram=1e300 * gram))
    refused("expected a message", replace(answer(), kind="difference"))
    refused("expected a number of at least 0", answer(client=-1))


def test_a_gram_matrix_stays_as_it_is_and_a_bent_one_becomes_the_nearest():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(6, 8)) + 1j * rng.normal(size=(6, 8))
    gram = factor.conj().T @ factor  # of rank 6
    gram = (gram + gram.conj().T) / 2
    np.testing.assert_array_equal(plausible_gram(gram, "it"), gram)
    bent = gram + 0.02 * np.linalg.norm(gram) * np.diag([1, -1] * 4)
    meant = plausible_gram(bent, "it")
    assert np.linalg.eigvalsh(meant)[0] > -1e-12 * np.linalg.norm(gram)
    # The nearest positive semidefinite matrix is as far away as the negative eigenvalues are long.
    negative = np.minimum(np.linalg.eigvalsh(bent), 0)
    assert np.linalg.norm(meant - bent) == pytest.approx(np.linalg.norm(negative))
    np.testing.assert_array_equal(plausible_gram(np.zeros((2, 2), complex), "it"), np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AlignmentAggregator(settings=Alignment(exchange="pilots")), "give white and channels"),
        (lambda: AlignmentAggregator(synchronous=False, keep_missing=False), "keep_missing = False: where each answer"),
        (lambda: AlignmentAggregator(settings=Alignment(rho="auto")), "give snr_db"),
        (lambda: AlignmentAggregator().init((np.zeros((3, 4, 4)),)), r"starts from float64 \(3, 4, 4\): expected"),
        (lambda: AlignmentAggregator().init((np.zeros((2, 4, 4), int),)), "expected floats"),
        (lambda: AlignmentAggregator().init((start(), start())), "expected floats"),
        (lambda: by_pilots(Alignment()).init((np.zeros((2, 8, 3)),)), "expected 12 columns"),
        (lambda: by_pilots(Alignment()).arrays_of(by_pilots(Alignment()).init((start(),)), 7, NO_ORDER), "user 7 has"),
    ],
)
def test_an_access_point_that_cannot_be_is_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
