import numpy as np
import pytest
from latent_world import accuracy, draw_world, read, scene_of

from eafl_flower.alignment import Alignment, train, users_at_once
from eafl_flower.alignment.disjoint.aligners import Ridge
from eafl_flower.alignment.disjoint.chain import Chain
from eafl_flower.alignment.disjoint.links import broadcast_links, own_link
from eafl_flower.alignment.disjoint.selection import EigenK, FirstK, TopK, eigen_k, features_of
from eafl_flower.errors import ConfigError
from eafl_flower.radio.mimo import complex_normal, draw_channel, noisy, through

RNG = np.random.default_rng(11)
CHANNELS = [draw_channel(2, 2, np.random.default_rng(seed)) for seed in range(3)]
USES, NUM_PILOTS = 3, 50
LATENTS = RNG.standard_normal((12, 30))
ABOUT = {"channel_uses": USES, "num_pilots": NUM_PILOTS}


def energy(link):
    return USES * np.linalg.norm(link.precoder) ** 2


def released(channels, snr_db, power):
    """The released baseline's precoder over whole blocks, its scale, and each user's receiver."""
    blocks = [np.kron(np.eye(USES), channel) for channel in channels]
    receivers = []
    for channel in channels:
        u, s, vh = np.linalg.svd(channel)
        u, s, vh = np.kron(np.eye(USES), u), np.tile(s, USES), np.kron(np.eye(USES), vh)  # an SVD of the block
        noise = 0.0 if snr_db is None else 10 ** (-snr_db / 10)
        receivers.append(np.diag(s / (s**2 + noise)) @ u.conj().T * np.linalg.norm(vh))
    seen = [receiver @ block for receiver, block in zip(receivers, blocks, strict=True)]

    def precoder(multiplier):
        weight = multiplier * len(seen) * NUM_PILOTS / (NUM_PILOTS - 1)
        return np.mean([np.linalg.inv(m.conj().T @ m + weight * np.eye(len(m))) @ m.conj().T for m in seen], axis=0)

    found, multiplier = precoder(0.0), 0.0
    if np.linalg.norm(found) ** 2 > power:
        for _ in range(30):
            excess = np.linalg.norm(found) ** 2 - power
            multiplier = max(0.0, multiplier + 0.1 * excess) if excess > 0 else 0.0
            found = precoder(multiplier)
    scale = np.linalg.norm(found) / np.sqrt(power)
    return found / scale, scale, receivers


@pytest.mark.parametrize("snr_db", [None, 20.0, 0.0, -10.0])
@pytest.mark.parametrize("power", [1.0, 0.01])
def test_links_of_one_use_are_those_of_the_released_code_over_whole_blocks(snr_db, power):
    links = broadcast_links(CHANNELS, snr_db, power=power, **ABOUT)
    precoder, scale, receivers = released(CHANNELS, snr_db, power)
    white = complex_normal((2 * USES, 5), 1.0, RNG)
    for link, channel, receiver in zip(links, CHANNELS, receivers, strict=True):
        block = np.kron(np.eye(USES), channel)
        np.testing.assert_allclose(link.sent(white), precoder @ white, atol=1e-10)
        arrived = scale * receiver @ block @ precoder @ white
        np.testing.assert_allclose(link.received(through(channel, link.sent(white))), arrived, atol=1e-10)


@pytest.mark.parametrize("snr_db", [20.0, -10.0])
@pytest.mark.parametrize("power", [1.0, 0.01, 100.0])
def test_a_broadcast_spends_the_whole_budget_and_no_more(snr_db, power):
    links = broadcast_links(CHANNELS, snr_db, power=power, **ABOUT)
    assert [energy(link) for link in links] == pytest.approx([power] * 3)


def test_without_noise_a_link_to_one_user_is_transparent():
    white = complex_normal((2 * USES, 5), 1.0, RNG)
    for link in (*broadcast_links(CHANNELS[:1], None, **ABOUT), own_link(CHANNELS[0], 0.0, channel_uses=USES)):
        np.testing.assert_allclose(link.received(through(CHANNELS[0], link.sent(white))), white, atol=1e-10)


def test_the_receiver_of_an_own_link_has_the_least_error_and_its_precoder_the_budget():
    sigma = 0.2
    link = own_link(CHANNELS[0], sigma, channel_uses=USES, power=1.3)
    assert energy(link) == pytest.approx(1.3)
    seen = CHANNELS[0] @ link.precoder
    normal = link.receiver @ (seen @ seen.conj().T + sigma**2 * np.eye(2)) - seen.conj().T
    np.testing.assert_allclose(normal, 0, atol=1e-12)


def test_a_dead_channel_carries_nothing_and_breaks_nothing():
    link = own_link(np.zeros((2, 2)), 0.0, channel_uses=USES)
    assert not link.received(np.ones((2 * USES, 4), complex)).any()


@pytest.mark.parametrize(
    "make", [lambda c: own_link(c, 0.1, channel_uses=2), lambda c: broadcast_links([c], 3.0, **ABOUT)]
)
def test_antennas_that_differ_are_refused(make):
    with pytest.raises(ConfigError, match=r"channel is \(2, 4\): links that undo the channel expect as many antennas"):
        make(draw_channel(2, 4, RNG))


def test_users_of_different_antennas_share_no_broadcast():
    with pytest.raises(ConfigError, match="expected one or more, all of one shape"):
        broadcast_links([np.eye(2), np.eye(3)], 3.0, **ABOUT)
    with pytest.raises(ConfigError, match="expected one or more"):
        broadcast_links([], 3.0, **ABOUT)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: broadcast_links(CHANNELS, float("nan"), **ABOUT), "snr_db = nan: expected a number from -300 to 300"),
        (lambda: broadcast_links(CHANNELS, -4000.0, **ABOUT), "snr_db = -4000.0: expected a number from -300 to 300"),
        (lambda: broadcast_links(CHANNELS, 3.0, channel_uses=3, num_pilots=1), "num_pilots = 1: expected two or more"),
        (lambda: broadcast_links(CHANNELS, 3.0, channel_uses=0, num_pilots=9), "channel_uses = 0: expected at least"),
        (lambda: broadcast_links(CHANNELS, 3.0, power=0.0, **ABOUT), "power = 0.0: expected a positive number"),
        (lambda: broadcast_links([np.zeros((2, 2))], 3.0, **ABOUT), "channels are all 0"),
        (lambda: broadcast_links([np.full((2, 2), np.nan)], 3.0, **ABOUT), "values that are not finite"),
        (lambda: own_link(np.eye(2), -0.1, channel_uses=3), "noise_std = -0.1: expected a number of at least 0"),
        (lambda: own_link(np.eye(2), 0.1, channel_uses=3, power=-1.0), "power = -1.0: expected a positive number"),
        (lambda: own_link(np.full((2, 2), np.inf), 0.1, channel_uses=3), "values that are not finite"),
    ],
)
def test_links_that_cannot_be_are_refused_in_words(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_first_features_come_back_and_the_rest_is_zero():
    selection = FirstK(count=5, size=12)
    found = selection.latents(*selection.features(LATENTS))
    np.testing.assert_array_equal(found[:5], LATENTS[:5])
    assert not found[5:].any()


def test_the_largest_features_leave_the_least_behind():
    selection = TopK(count=5, size=12)
    features, places = selection.features(LATENTS)
    found = selection.latents(features, places)
    left = np.sort(np.abs(LATENTS), axis=0)[:7]
    np.testing.assert_allclose(np.linalg.norm(LATENTS - found, axis=0), np.linalg.norm(left, axis=0))
    assert (np.diff(np.abs(features), axis=0) <= 0).all()
    np.testing.assert_array_equal(np.take_along_axis(LATENTS, places, axis=0), features)
    assert (selection.uses_counted, FirstK.uses_counted, EigenK.uses_counted) == (2, 1, 1)


@pytest.mark.parametrize("rows", [4, 12, 20])
@pytest.mark.parametrize("count", [3, 6, 12])
def test_components_that_matter_most_give_the_best_map_of_their_rank(rows, count):
    matrix = RNG.standard_normal((rows, 12))
    selection = eigen_k(matrix, count)
    features, places = selection.features(np.eye(12))
    assert features.shape[0] == count
    u, s, vh = np.linalg.svd(matrix, full_matrices=False)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1) ** 2, np.append(s, np.zeros(12))[:count], atol=1e-10)
    best = (u[:, :count] * s[:count]) @ vh[:count]
    np.testing.assert_allclose(matrix @ selection.latents(features, places), best, atol=1e-10)


@pytest.mark.parametrize("rows", [4, 12, 20])
@pytest.mark.parametrize("count", [3, 6, 12])
def test_with_a_covariance_components_leave_the_least_error_of_what_is_mapped(rows, count):
    matrix = RNG.standard_normal((rows, 12))
    latents = RNG.standard_normal((12, 12)) @ RNG.standard_normal((12, 400))
    selection = eigen_k(matrix, count, latents @ latents.T / 400)
    features, places = selection.features(latents)
    misfit = matrix @ (latents - selection.latents(features, places))
    values = np.linalg.svd(matrix @ latents, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(misfit) ** 2, np.sum(values[count:] ** 2), atol=1e-8 * values[0] ** 2)
    gram = features @ features.T
    np.testing.assert_allclose(gram - np.diag(np.diagonal(gram)), 0, atol=1e-9 * gram.max())
    with pytest.raises(ConfigError, match=r"covariance is \(2, 2\): expected \(12, 12\)"):
        eigen_k(matrix, count, np.eye(2))


@pytest.mark.parametrize(
    "make", [lambda: FirstK(count=13, size=12), lambda: eigen_k(np.eye(12), 13), lambda: TopK(count=0, size=12)]
)
def test_more_features_than_there_are_cannot_be_sent(make):
    with pytest.raises(ConfigError, match="features of latents of 12 dimensions: expected from 1 to 12"):
        make()


@pytest.mark.parametrize("selection", [FirstK(count=12, size=12), TopK(count=12, size=12), eigen_k(np.eye(12), 12)])
def test_with_all_features_and_no_noise_a_chain_is_its_map(selection):
    aligned = Ridge().fit(LATENTS, RNG.standard_normal((7, 30)))
    found = Chain.of(aligned, selection, own_link(CHANNELS[0], 0.0, channel_uses=USES), LATENTS)
    symbols, places = found.sent(LATENTS)
    received = found.latents(through(CHANNELS[0], symbols), places)
    np.testing.assert_allclose(received, aligned.decode(LATENTS), atol=1e-8)


@pytest.mark.parametrize("selection", [FirstK(count=5, size=12), TopK(count=5, size=12), eigen_k(np.eye(12), 5)])
def test_an_odd_number_of_features_arrives_without_what_packing_adds(selection):
    aligned = Ridge().fit(LATENTS, LATENTS)
    chain = Chain.of(aligned, selection, own_link(CHANNELS[0][:1, :1], 0.0, channel_uses=3), LATENTS)
    symbols, places = chain.sent(LATENTS)
    found = chain.latents(through(CHANNELS[0][:1, :1], symbols), places)
    kept = selection.latents(*selection.features(LATENTS))
    np.testing.assert_allclose(found, aligned.decode(kept), atol=1e-8)


def test_a_link_sends_blocks_of_its_channel_uses_alone_for_others_exceed_the_budget():
    aligned = Ridge().fit(LATENTS, LATENTS)
    chain = Chain.of(aligned, FirstK(count=12, size=12), own_link(CHANNELS[0], 0.1, channel_uses=1), LATENTS)
    with pytest.raises(ConfigError, match="6 symbols over a link of 2 a latent: expected 2 x 2 real features"):
        chain.sent(LATENTS)
    with pytest.raises(ConfigError, match="the selection is of latents of 9 dimensions, the map sends 12"):
        Chain.of(aligned, FirstK(count=4, size=9), chain.link, LATENTS)


def test_the_symbols_of_pilots_have_the_power_of_the_budget():
    aligned = Ridge().fit(LATENTS, LATENTS)
    for link in (*broadcast_links(CHANNELS, 10.0, **ABOUT), own_link(CHANNELS[0], 0.1, channel_uses=USES)):
        symbols, _ = Chain.of(aligned, FirstK(count=12, size=12), link, LATENTS).sent(LATENTS)
        assert np.linalg.norm(symbols) ** 2 / 29 == pytest.approx(1.0)


def test_features_left_white_differ_from_those_that_were_sent():
    aligned, link = Ridge().fit(LATENTS, LATENTS), own_link(CHANNELS[0], 0.0, channel_uses=USES)
    asreleased = Chain.of(aligned, FirstK(count=12, size=12), link, LATENTS, dewhiten=False)
    symbols, places = asreleased.sent(LATENTS)
    found = asreleased.latents(through(CHANNELS[0], symbols), places)
    np.testing.assert_allclose(np.cov(found[:6] + 1j * found[6:]), np.eye(6), atol=1e-8)


WORLDS = [draw_world(sizes=(24, 32, 40, 48), seed=seed) for seed in range(4)]


def first_features(world, scene, uses, antennas, rng):
    """The mean accuracy with the first features over a broadcast, as the paper's baseline."""
    channels, scores = [user.channel for user in scene.by_statistics], []
    links = broadcast_links(channels, 20.0, channel_uses=uses, num_pilots=world.pilots[0].shape[1])
    for number, link in enumerate(links):
        ridge = Ridge(bias=False).fit(world.pilots[0], world.pilots[number + 1])
        selection = FirstK(count=features_of(uses, antennas), size=len(world.pilots[0]))
        found = Chain.of(ridge, selection, link, world.pilots[0])
        symbols, places = found.sent(world.tests[0])
        received = noisy(through(channels[number], symbols), scene.by_statistics[number].noise_std, rng)
        scores.append(read(world, number, found.latents(received, places)))
    return np.mean(scores)


@pytest.mark.parametrize("links", ["shared", "multi-link"])
@pytest.mark.parametrize(("uses", "antennas"), [(1, 1), (2, 1), (1, 2), (2, 2), (4, 2), (6, 2)])
def test_alignment_by_admm_is_more_accurate_than_the_first_features(uses, antennas, links):
    ours, theirs, rng = [], [], np.random.default_rng(3)
    for seed, world in enumerate(WORLDS):
        scene = scene_of(world, Alignment(channel_uses=uses, links=links), antennas=antennas, seed=seed)
        state = scene.access_point.init(np.random.default_rng(seed), range(3))
        state = train(scene.access_point, users_at_once(scene.by_statistics), state)
        ours.append(accuracy(world, scene, state, rng))
        theirs.append(first_features(world, scene, uses, antennas, rng))
    assert np.mean(ours) > np.mean(theirs)
