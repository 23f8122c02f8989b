"""The cell-free network as a radio: whom it hears, what it grants, and that the same question has the same answer."""

import doctest
from dataclasses import replace

import numpy as np
import pytest

from eafl_flower.errors import ConfigError, InfeasibleError
from eafl_flower.power import Uploads, cell_free_radio, full_power, max_min_efficiency, min_max_latency, weighted_powers
from eafl_flower.power.cell_free_radio import CellFree, CellFreeRadio
from eafl_flower.radio.cell_free import uplink_gains
from eafl_flower.radio.geometry import distances_m, large_scale_fading
from eafl_flower.types import Grant, Upload

BITS = np.array([3e5, 1e6, 2e6, 5e5, 1e6])
STARTS_S = np.array([0.0, 0.02, 0.0, 0.04, 0.01])


def radio_of(seed=1, **settings):
    return CellFreeRadio(network=CellFree(**settings), seed=seed)


def uploads_of(clients, starts_s=STARTS_S, bits=BITS):
    return [
        Upload(client=k, start_s=float(start_s), num_bits=int(b), bits_left=float(b))
        for k, start_s, b in zip(clients, starts_s, bits, strict=True)
    ]


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(cell_free_radio).failed == 0


ALLOCATIONS = {
    "weighted": lambda uploads: weighted_powers(uploads, CellFree()),
    "min-max": min_max_latency,
    "dinkelbach": lambda uploads: max_min_efficiency(uploads.gains),
    "full": lambda uploads: full_power(uploads.gains),
}


@pytest.mark.parametrize("method", ALLOCATIONS)
def test_a_round_is_granted_the_allocation_for_its_payloads_and_computation_times(method):
    radio = radio_of(power=method)
    gains = radio.gains(range(5), 0.0)
    found = ALLOCATIONS[method](Uploads(gains=gains, payload_bits=BITS, computation_s=STARTS_S))
    grants = radio.grants(0.0, uploads_of(range(5)))
    assert [g.rate_bit_s for g in grants] == pytest.approx(found.rate_bit_s, rel=1e-12)
    assert [g.power_w for g in grants] == pytest.approx(0.1 * found.power, rel=1e-12)
    assert all(g.certified for g in grants) == found.converged


def test_the_largest_sum_of_rates_is_no_smaller_than_at_full_power():
    sums = {
        method: sum(g.rate_bit_s for g in radio_of(power=method).grants(0.0, uploads_of(range(5))))
        for method in ("max-sum-rate", "full")
    }
    assert sums["max-sum-rate"] >= sums["full"] * (1 - 1e-9)


def test_who_does_not_upload_disturbs_nobody():
    """With one user alone there is neither interference nor a shared pilot."""
    radio, upload = radio_of(power="full"), uploads_of([7], [0.0], [1e6])
    alone = radio.gains([7], 0.0)
    (grant,) = radio.grants(0.0, upload)
    sinr = alone.signal[0] / (alone.self_interference[0] + alone.noise[0])
    assert grant.rate_bit_s == pytest.approx(190 / 200 * 20e6 * np.log2(1 + sinr))
    together = radio.grants(0.0, uploads_of(range(40), np.zeros(40), np.full(40, 1e6)))
    assert together[7].rate_bit_s < grant.rate_bit_s


def test_the_same_question_has_the_same_answer_in_every_process_that_makes_the_radio():
    questions = [(0.5, [3, 1]), (1.0, [0, 1, 2, 3, 4]), (0.5, [3, 1]), (9.0, [2])]
    uploads = dict(enumerate(uploads_of(range(5))))
    radios = [radio_of(speed_m_s=20.0), radio_of(speed_m_s=20.0)]
    answers = [
        [r.grants(t, [uploads[k] for k in who]) for t, who in order]
        for r, order in zip(radios, (questions, questions[::-1]), strict=True)
    ]
    assert answers[0] == answers[1][::-1]
    assert radio_of(seed=2, speed_m_s=20.0).grants(1.0, uploads_of(range(5))) != answers[0][1]


@pytest.mark.parametrize("method", [*ALLOCATIONS, "max-sum-rate"])
def test_the_order_of_uploads_does_not_matter(method):
    radio, uploads = radio_of(power=method), uploads_of(range(25), np.zeros(25), np.linspace(1e5, 2e6, 25))
    assert radio.grants(0.0, uploads[::-1]) == radio.grants(0.0, uploads)[::-1]


def test_users_go_straight_on_at_their_speed_and_come_back_after_a_whole_side():
    radio = radio_of(speed_m_s=25.0)
    step = (radio.users_m(range(8), 0.2) - radio.users_m(range(8), 0.0) + 500) % 1000 - 500
    assert np.hypot(*step.T) == pytest.approx(5.0)
    assert radio.users_m(range(8), 3.0) == pytest.approx((radio.users_m(range(8), 0.0) + 15 * step) % 1000)
    assert (radio.users_m(range(8), 1e4) >= 0).all() and (radio.users_m(range(8), 1e4) < 1000).all()
    assert np.array_equal(radio_of().users_m(range(8), 1e4), radio_of().users_m(range(8), 0.0))


def test_gains_are_those_of_where_users_are_at_that_time():
    radio = radio_of(speed_m_s=30.0, shadowing_db=0.0)
    before, after = radio.gains(range(8), 0.0), radio.gains(range(8), 20.0)
    fading = large_scale_fading(radio.network, distances_m(radio.network, radio.users_m(range(8), 20.0), radio.aps_m))
    pilots = np.arange(8)  # there are ten: nobody shares one
    expected = uplink_gains(fading, pilots, radio.network)
    assert after.signal == pytest.approx(expected.signal, rel=1e-9, abs=0)
    assert after.interference == pytest.approx(expected.interference, rel=1e-9, abs=0)
    assert after.signal != pytest.approx(before.signal, rel=1e-9, abs=0)


def test_who_has_nothing_left_to_send_is_granted_nothing_and_disturbs_nobody():
    radio, uploads = radio_of(), uploads_of(range(5))
    done = [replace(uploads[0], bits_left=0.0), *uploads[1:]]
    grants = radio.grants(0.0, done)
    assert grants[0] == Grant(rate_bit_s=0.0, power_w=0.0)
    assert all(g.rate_bit_s > 0 for g in grants[1:])
    assert radio.grants(0.0, done[:1]) == grants[:1]


def test_powers_keep_the_budgets_of_a_round_or_the_question_is_refused_with_what_is_possible():
    free = radio_of().grants(0.0, uploads_of(range(5)))
    energy_j = sum(g.power_w * b / g.rate_bit_s for g, b in zip(free, BITS, strict=True))
    tight = radio_of(round_energy_j=0.8 * energy_j).grants(0.0, uploads_of(range(5)))
    assert sum(g.power_w * b / g.rate_bit_s for g, b in zip(tight, BITS, strict=True)) <= 0.8 * energy_j
    with pytest.raises(InfeasibleError, match="the energy budget is 1e-09 J, but the uploads need at least"):
        radio_of(round_energy_j=1e-9).grants(0.0, uploads_of(range(5)))
    with pytest.raises(InfeasibleError, match="the slowest user needs at least"):
        radio_of(round_latency_s=1e-9).grants(0.0, uploads_of(range(5)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"power": "full", "round_energy_j": 1.0}, 'power = "full" keeps no budget'),
        ({"num_aps": 15}, "expected a square number"),
        ({"num_pilots": 200}, "expected fewer than the 200 samples"),
        ({"energy_weight": 1.5}, "energy_weight = 1.5"),
        ({"speed_m_s": -1.0}, "speed_m_s = -1.0"),
        ({"power": "loud"}, "power = "),
    ],
)
def test_wrong_settings_are_refused_with_what_was_expected(settings, words):
    with pytest.raises(ConfigError, match=words):
        CellFree(**settings)


def test_a_user_whom_no_access_point_hears_is_refused_by_its_number():
    far = {
        "gain_at_1m_db": -200.0,
        "loss_per_decade_db": 100.0,
        "height_m": 1e6,
        "max_power_w": 1e-9,
        "noise_dbm": 100.0,
    }
    with pytest.raises(ConfigError, match=r"no access point hears client 7 \(1 of the 1 that upload\)"):
        radio_of(**far).grants(0.0, uploads_of([7], [0.0], [1e6]))


def test_a_network_of_zero_users_is_refused():
    with pytest.raises(ConfigError, match="zero users"):
        radio_of().gains([], 0.0)


def test_a_user_is_where_it_is_whoever_else_there_is():
    radio = radio_of(speed_m_s=3.0)
    assert np.array_equal(radio.users_m([5, 2], 7.0)[::-1], radio.users_m([2, 5, 9], 7.0)[:2])
