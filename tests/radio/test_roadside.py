import math

import numpy as np
import pytest

from eafl_flower.errors import ConfigError
from eafl_flower.mobility.coverage import HandoverRule, cover
from eafl_flower.mobility.synthetic import Streets, street_traces
from eafl_flower.mobility.traces import traces_of
from eafl_flower.protocols import Radio
from eafl_flower.radio.rayleigh import mean_rate_bit_s, rate_bit_s
from eafl_flower.radio.roadside import Roadside, RoadsideRadio
from eafl_flower.types import Upload

UNITS_M = np.array([[300.0, 300.0], [1200.0, 900.0]])
STEADY = Roadside(shadowing_db=0.0, fading="none")


def network(settings=None, seed=1, vehicles=30, **rule):
    traces = street_traces(Streets(blocks=15), vehicles=vehicles, duration_s=200, seed=4)
    return RoadsideRadio(settings or Roadside(), cover(traces, UNITS_M, HandoverRule(step_s=1, **rule)), seed)


def upload(client, start_s, num_bits=8e6):
    return Upload(client=client, start_s=start_s, num_bits=int(num_bits), bits_left=num_bits)


def standing(distance_m, settings=STEADY):
    traces = traces_of({"a": ([0.0, 100.0], [distance_m, distance_m], [0.0, 0.0])})
    return RoadsideRadio(settings, cover(traces, [[0.0, 0.0]], HandoverRule(radius_m=2000)), 1)


def test_it_is_a_radio_whose_transfers_do_not_disturb_each_other():
    radio = network()
    assert isinstance(radio, Radio)
    assert radio.coupled is False
    uploads = [upload(client, 20.0) for client in range(30)]
    alone = [radio.grants(20.0, [one])[0] for one in uploads]
    assert radio.grants(20.0, uploads) == alone
    assert radio.grants(20.0, uploads[::-1]) == alone[::-1]


def test_the_rate_is_shannons_at_the_distance_of_the_unit_that_serves():
    flat_m, settings = 150.0, STEADY
    loss_db = 47.9 + 21 * math.log10(100) + 38 * math.log10(math.hypot(flat_m, 5) / 100)
    for link, power_w in (("up", 1.0), ("down", 2.0)):
        snr = power_w * 10 ** (-loss_db / 10) / 10 ** ((-102 - 30) / 10)
        expected = settings.bandwidth_hz * math.log2(1 + snr)
        assert standing(flat_m).mean_rate_bit_s(10.0, link=link)[0] == pytest.approx(expected, rel=1e-9)
    assert standing(flat_m).grants(10.0, [upload(0, 10.0)])[0].rate_bit_s == pytest.approx(
        standing(flat_m).mean_rate_bit_s(10.0)[0], rel=1e-12
    )


def test_the_released_form_of_ucb_dual_is_a_choice_of_settings():
    # Spec of the public code: Bw log2(1 + P d^-2 / sigma), sigma = 1e-9 W, Bw = 2e5 Hz, without fading or shadowing.
    released = Roadside(
        bandwidth_hz=2e5, noise_dbm=-60.0, gain_at_1m_db=0.0, exponent_near=2.0, exponent_far=2.0, unit_height_m=1e-6,
        shadowing_db=0.0, fading="none", charge_downlink="transmit",
    )  # fmt: skip
    radio = standing(200.0, released)
    assert radio.mean_rate_bit_s(1.0)[0] == pytest.approx(2e5 * math.log2(1 + 200**-2 / 1e-9), rel=1e-9)
    download = radio.download(0, 1.0, 125_000)
    assert download.energy_j == pytest.approx(2.0 * download.time_s)


def test_whom_nobody_serves_gets_nothing():
    radio = network(radius_m=200)
    unserved = np.flatnonzero(radio.coverage.serving(50.0) < 0)
    assert len(unserved)
    client = int(unserved[0])
    (grant,) = radio.grants(50.0, [upload(client, 50.0)])
    assert (grant.rate_bit_s, grant.power_w) == (0.0, 0.0)
    download = radio.download(client, 50.0, 1000)
    assert (download.time_s, download.energy_j) == (math.inf, 0.0)
    assert radio.download(client, 50.0, 0).time_s == 0.0
    assert (radio.mean_rate_bit_s(50.0)[unserved] == 0).all()


def test_a_link_too_slow_is_an_outage():
    assert standing(1900.0).mean_rate_bit_s(1.0)[0] > 1e5
    poor = Roadside(shadowing_db=0.0, fading="none", least_rate_bit_s=1e8)
    radio = standing(1900.0, poor)
    assert radio.grants(1.0, [upload(0, 1.0)])[0].rate_bit_s == 0.0
    assert radio.download(0, 1.0, 1).time_s == math.inf


def test_a_download_takes_its_bits_over_the_rate_at_the_power_to_receive():
    radio = standing(100.0)
    phase = radio.download(0, 1.0, 125_000)
    assert phase.time_s == pytest.approx(1e6 / radio.mean_rate_bit_s(1.0, link="down")[0])
    assert phase.energy_j == pytest.approx(0.5 * phase.time_s)


def test_an_upload_that_begins_later_is_asked_about_where_its_vehicle_will_be():
    radio = network()
    for client in range(10):
        assert radio.grants(5.0, [upload(client, 90.0)]) == radio.grants(90.0, [upload(client, 90.0)])


def test_the_same_question_has_the_same_answer_and_the_seed_another():
    one, same, other = network(), network(), network(seed=2)
    uploads = [upload(client, 20.0) for client in range(30)]
    assert one.grants(20.0, uploads) == same.grants(20.0, uploads)
    assert one.grants(20.0, uploads) != other.grants(20.0, uploads)


def test_transfers_that_begin_in_one_slot_have_one_fading_and_those_of_two_slots_have_two():
    radio = network(Roadside(fading_slot_s=2.0))
    assert radio.fading(3, 10.0) == radio.fading(3, 11.9)
    assert len({radio.fading(3, 10.0), radio.fading(3, 12.1), radio.fading(4, 10.0)}) == 3


def test_fading_is_exponential_with_mean_one():
    radio = network()
    gains = np.array([radio.fading(client, float(slot)) for client in range(100) for slot in range(100)])
    assert abs(gains.mean() - 1) < 5 / np.sqrt(len(gains))
    assert abs((gains > 1).mean() - np.exp(-1)) < 5 * np.sqrt(np.exp(-1) * (1 - np.exp(-1)) / len(gains))


def test_the_mean_rate_is_that_of_grants_over_many_slots():
    radio = RoadsideRadio(Roadside(shadowing_db=0.0, fading_slot_s=0.01), standing(600.0).coverage, 1)
    rates = [radio.grants(t, [upload(0, t)])[0].rate_bit_s for t in np.arange(2000) / 100 + 0.005]
    error = np.std(rates) / np.sqrt(len(rates))
    assert abs(np.mean(rates) - radio.mean_rate_bit_s(1.0)[0]) < 5 * error


def test_rates_of_all_at_once_are_those_of_each_alone():
    radio = network()
    for link in ("up", "down"):
        together = radio.mean_rate_bit_s(33.0, link=link)
        alone = [radio.mean_rate_bit_s(33.0, [vehicle], link)[0] for vehicle in range(30)]
        np.testing.assert_allclose(together, alone, rtol=1e-9)
    at_own_times = radio.mean_rate_bit_s(np.arange(30.0), np.arange(30))
    assert at_own_times[7] == pytest.approx(radio.mean_rate_bit_s(7.0, [7])[0], rel=1e-9)


def test_mean_rates_are_those_of_the_fading_law():
    radio, plain = network(), network(Roadside(fading="none"))
    snr = radio.mean_snr(40.0)
    np.testing.assert_array_equal(radio.mean_rate_bit_s(40.0), mean_rate_bit_s(snr, 2e6, 1e5))
    np.testing.assert_array_equal(plain.mean_rate_bit_s(40.0), rate_bit_s(snr, 2e6, 1e5))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bandwidth_hz": 0.0}, "bandwidth_hz"), ({"fading": "rice"}, "fading"), ({"break_m": -1.0}, "break_m")],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        Roadside(**change)


def test_a_client_without_a_vehicle_is_told():
    with pytest.raises(ConfigError, match="vehicle 30: expected a number from 0 to 29"):
        network().grants(1.0, [upload(30, 1.0)])
