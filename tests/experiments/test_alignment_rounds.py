"""Rounds through channels that are known, guessed, heard or moving, and maps that are real or complex."""

from dataclasses import replace

import numpy as np
import pytest
from invented_alignments import accuracy_of, scene_of_world

from eafl_flower.alignment import EVERYBODY, train, users_at_once
from eafl_flower.radio.mimo import complex_normal, draw_channel, through
from experiments.alignment import apart
from experiments.alignment.air import as_parts, of_parts, over_air, parted
from experiments.alignment.scene import channels_of, chosen_pilots, fit_scaling, known_channels
from experiments.alignment.settings import METHODS, Scenario, method_of
from experiments.alignment.together import Alliance

BASE = Scenario(world="digits", uses=2, antennas=2, rounds=8)


def alliance_of(scenario, method="federated"):
    world, scene = scene_of_world(scenario)
    return world, Alliance.of(scenario, METHODS[method], scene)


def precoder_of(alliance, user=EVERYBODY):
    return alliance.trained().state.copies[user]


def test_symbols_in_parts_go_through_a_channel_as_complex_ones_do():
    rng = np.random.default_rng(0)
    channel = draw_channel(3, 2, rng)
    sent = complex_normal((4 * 2, 5), 1.0, rng)
    np.testing.assert_array_equal(of_parts(as_parts(sent, 2), 2), sent)
    np.testing.assert_allclose(
        through(parted(channel), as_parts(sent, 2)), as_parts(through(channel, sent), 3), atol=1e-13
    )
    heard = over_air(as_parts(sent, 2), channel, 0.3, np.random.default_rng(1), wide=True)
    np.testing.assert_allclose(of_parts(heard, 3), over_air(sent, channel, 0.3, np.random.default_rng(1)), atol=1e-13)


@pytest.mark.parametrize("method", ["federated", "federated-wide"])
def test_users_reckon_with_the_noise_that_arrives(method):
    _, alliance = alliance_of(replace(BASE, snr_db=0.0), method)
    wide, channel, sigma = alliance.method.wide, alliance.scene.channels[0][0], alliance.scene.noise_std
    silence = np.zeros((BASE.uses * BASE.antennas * (2 if wide else 1), 4000), np.complex128)
    heard = over_air(silence, channel, sigma, np.random.default_rng(0), wide=wide)
    # energies of n entries, real or complex: the variance of their mean is at most 2 / n of their squared mean
    tolerance = 5 * np.sqrt(2 / heard.size)
    assert np.mean(np.abs(heard) ** 2) == pytest.approx(alliance._user(0, 0).noise_std ** 2, rel=tolerance)


@pytest.mark.parametrize("method", ["federated", "multi-link"])
def test_undisturbed_rounds_are_those_of_the_training_of_all_users_at_once(method):
    _, alliance = alliance_of(BASE, method)
    users = range(len(alliance.scene.users))
    trained = alliance.trained()
    start = alliance._start(trained.point, users)
    expected = train(trained.point, users_at_once([alliance._user(0, user) for user in users]), start, BASE.rounds)
    for link, precoder in expected.copies.items():
        np.testing.assert_allclose(trained.state.copies[link], precoder, atol=1e-9)


@pytest.mark.parametrize("method", ["federated", "federated-wide"])
def test_pilots_over_a_known_channel_without_noise_teach_what_their_sums_do(method):
    (_, sums), (_, heard) = (alliance_of(replace(BASE, exchange=e), method) for e in ("statistics", "pilots"))
    np.testing.assert_allclose(precoder_of(heard), precoder_of(sums), atol=1e-8)
    for one, other in zip(sums.received(sums.trained()), heard.received(heard.trained()), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_users_who_never_come_leave_no_trace_in_what_is_shared():
    scenario = replace(BASE, late_from=BASE.rounds)
    _, alliance = alliance_of(scenario)
    early = replace(alliance.scene, users=alliance.scene.users[::2], channels=[c[::2] for c in alliance.scene.channels])
    early = replace(early, known=early.channels)
    alone = Alliance(scenario=BASE, method=alliance.method, scene=early)
    np.testing.assert_allclose(precoder_of(alliance), precoder_of(alone), atol=1e-12)


def test_real_maps_err_less_than_complex_ones_on_what_both_are_asked_for():
    errors = {}
    for method in ("federated-scaled", "federated-wide"):
        _, alliance = alliance_of(replace(BASE, uses=1, rounds=30), method)
        received = alliance.received(alliance.trained())
        errors[method] = sum(
            np.mean((latents - side.tests) ** 2) / side.pilots.var()
            for latents, side in zip(received, alliance.scene.users, strict=True)
        )
    assert errors["federated-wide"] < errors["federated-scaled"]


def test_a_wrong_idea_of_the_channel_costs_accuracy_and_less_where_pilots_are_heard():
    def accuracy(**changes):
        world, alliance = alliance_of(replace(BASE, uses=4, snr_db=30.0, **changes))
        return accuracy_of(world, alliance.received(alliance.trained()))

    known = accuracy()
    assert accuracy(csi_error=1.0) < accuracy(csi_error=1.0, exchange="pilots") <= known + 0.02


def test_what_is_sent_keeps_to_the_budget_with_real_maps_too():
    for method in ("federated", "federated-wide", "multi-link-wide"):
        trained = alliance_of(BASE, method)[1].trained()
        for copy in trained.state.copies.values():
            assert np.linalg.norm(copy) ** 2 <= 1 + 1e-9
            assert not METHODS[method].wide or np.abs(copy.imag).max() == 0


def test_scaled_latents_have_mean_0_and_mean_variance_1_and_come_back():
    samples = complex_normal((5, 60), 3.0, np.random.default_rng(0)) + 2
    scaling = fit_scaling(samples)
    found = scaling.apply(samples)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-12)
    assert np.sum(np.abs(found) ** 2) / 59 / 5 == pytest.approx(1)
    np.testing.assert_allclose(scaling.undo(found), samples)


def test_channels_that_stay_stay_and_others_move_from_round_to_round():
    still = channels_of(BASE, 2)
    assert len(still) == BASE.rounds + 1 and all(users is still[0] for users in still)
    moving = channels_of(replace(BASE, correlation=0.5), 2)
    np.testing.assert_array_equal(moving[0][1], still[0][1])
    assert len(moving) == BASE.rounds + 1 and np.abs(moving[1][1] - moving[0][1]).min() > 0


def test_channels_are_known_with_one_error_while_they_stay_and_with_new_ones_while_they_move():
    still = channels_of(BASE, 2)
    assert known_channels(BASE, still) is still
    wrong = replace(BASE, csi_error=0.1)
    known = known_channels(wrong, channels_of(wrong, 2))
    np.testing.assert_array_equal(known[0][0], known[-1][0])
    moving = replace(wrong, correlation=0.5)
    channels = channels_of(moving, 2)
    errors = [a[0] - b[0] for a, b in zip(known_channels(moving, channels), channels, strict=True)]
    assert np.abs(errors[0] - errors[1]).min() > 0


def test_pilots_are_as_many_as_asked_for_and_the_same_for_all_methods():
    latents = np.random.default_rng(0).standard_normal((6, 50))
    tenth = replace(BASE, share=0.1)
    assert chosen_pilots(BASE, latents).tolist() == list(range(50))
    for how in ("random", "herded"):
        chosen = [chosen_pilots(replace(tenth, pilots=how, method=m), latents).tolist() for m in ("federated", "top-k")]
        assert chosen[0] == chosen[1] and len(set(chosen[0])) == 5
    assert chosen_pilots(tenth, latents).tolist() != chosen_pilots(replace(tenth, seed=5), latents).tolist()


def test_an_open_link_has_the_power_of_the_budget_and_the_receiver_of_least_error():
    rng = np.random.default_rng(0)
    channel, sigma, uses = draw_channel(3, 3, rng), 0.2, 4
    link = apart.open_link(channel, sigma, channel_uses=uses)
    assert uses * np.linalg.norm(link.precoder) ** 2 == pytest.approx(1)

    def error(receiver):
        whole = receiver @ channel @ link.precoder - np.eye(3)
        return np.linalg.norm(whole) ** 2 + sigma**2 * np.linalg.norm(receiver) ** 2

    least = error(link.receiver)
    assert all(error(link.receiver + 1e-3 * complex_normal((3, 3), 1.0, rng)) > least for _ in range(50))
    exact = apart.open_link(channel, 0.0, channel_uses=uses)
    np.testing.assert_allclose(exact.receiver @ channel @ exact.precoder, np.eye(3), atol=1e-10)


@pytest.mark.parametrize("method", ["first-k", "top-k", "eigen-k", "eigen-k-open", "eigen-k-own", "relative/open"])
def test_every_design_with_alignment_and_channel_apart_gives_latents_of_each_user(method):
    scenario = replace(BASE, method=method)
    _, scene = scene_of_world(scenario)
    received = apart.received(scenario, method_of(method), scene)
    assert [latents.shape for latents in received] == [side.tests.shape for side in scene.users]
    assert all(np.isfinite(latents).all() for latents in received)


def test_a_broadcast_sends_the_same_to_all_and_its_components_do_not_depend_on_the_scale_of_a_user():
    scenario = replace(BASE, method="eigen-k-open")
    method = METHODS["eigen-k-open"]
    _, scene = scene_of_world(scenario)
    pilots = scene.access_point.pilots

    def components(factor):
        sides = [scene.users[0], replace(scene.users[1], pilots=factor * scene.users[1].pilots)]
        maps = [method.aligner.fit(pilots, side.pilots) for side in sides]
        found = apart.selections_of(scenario, method, maps, pilots)
        assert found[0] is found[1]
        return found[0].analysis.T @ np.linalg.pinv(found[0].analysis.T)

    np.testing.assert_allclose(components(1.0), components(1e3), atol=1e-6)
