from dataclasses import replace

import pytest

from eafl_flower.energy import CMOSRadioEnergy
from eafl_flower.errors import ConfigError
from eafl_flower.simulation import ConstantRateNetwork, JobPrice, StartPrice, UploadPrice
from eafl_flower.types import Link, Work

LINK = Link(uplink_rate_bit_s=1e6, downlink_rate_bit_s=5e6, uplink_power_w=0.2, downlink_power_w=0.1)
NETWORK = ConstantRateNetwork(link=LINK, energy=CMOSRadioEnergy(), slowdown=(1.0, 4.0))
WORK = Work(num_examples=1000, epochs=1)  # 1.2e7 cycles: 12 ms and 1.2 mJ at 1 GHz
JOB = JobPrice(
    dispatched_s=10.0,
    start=StartPrice(download_s=1.0, compute_s=2.0, download_energy_j=0.1, compute_energy_j=3.0),
    upload=UploadPrice(upload_s=4.0, energy_j=0.8),
)


def test_a_job_is_priced_by_rate_power_and_clock():
    start, upload = NETWORK.start(0, WORK, 2500), NETWORK.upload(0, 1250)
    assert start.download_s == pytest.approx(20_000 / 5e6)
    assert start.download_energy_j == pytest.approx(0.1 * 20_000 / 5e6)
    assert start.compute_s == pytest.approx(0.012)
    assert start.compute_energy_j == pytest.approx(1.2e-3)
    assert upload.upload_s == pytest.approx(10_000 / 1e6)
    assert upload.energy_j == pytest.approx(0.2 * 10_000 / 1e6)


def test_slowdowns_are_cycled_over_the_clients_and_multiply():
    fast, slow = NETWORK.start(2, WORK, 0), NETWORK.start(3, replace(WORK, slowdown=2.0), 0)
    assert slow.compute_s == pytest.approx(8 * fast.compute_s)
    assert slow.compute_energy_j == fast.compute_energy_j


def test_a_job_downloads_then_computes_then_uploads():
    assert JOB.upload_start_s == 13.0
    assert JOB.arrival_s == 17.0
    with pytest.raises(ValueError, match="not known before its reply is in"):
        _ = replace(JOB, upload=None).arrival_s


@pytest.mark.parametrize(
    ("time_s", "download_j", "compute_j", "upload_j"),
    [
        (9.0, 0, 0, 0),
        (10.0, 0, 0, 0),
        (10.5, 0.05, 0, 0),
        (11.0, 0.1, 0, 0),
        (11.5, 0.1, 0.75, 0),
        (13.0, 0.1, 3.0, 0),
        (14.0, 0.1, 3.0, 0.2),
        (17.0, 0.1, 3.0, 0.8),
        (99.0, 0.1, 3.0, 0.8),
    ],
)
def test_a_job_that_ends_early_is_charged_up_to_that_moment(time_s, download_j, compute_j, upload_j):
    charge = NETWORK.energy_until(JOB, time_s)
    assert charge.download_energy_j == pytest.approx(download_j)
    assert charge.compute_energy_j == pytest.approx(compute_j)
    assert charge.upload_energy_j == pytest.approx(upload_j)
    assert charge.energy_j == pytest.approx(download_j + compute_j + upload_j)
    assert charge.download_s + charge.compute_s + charge.upload_s == pytest.approx(min(max(time_s - 10.0, 0.0), 7.0))


def test_an_upload_that_is_not_known_is_not_charged():
    charge = NETWORK.energy_until(replace(JOB, upload=None), 16.0)
    assert charge.energy_j == pytest.approx(3.1)
    assert charge.upload_s == 0.0


def test_at_its_end_a_download_is_whole():
    for dispatched_s in (0.0, 0.1, 1e3 / 3, 1e9 / 7):
        start = NETWORK.start(1, WORK, 1516)
        job = JobPrice(dispatched_s=dispatched_s, start=start)
        charge = NETWORK.energy_until(job, job.download_end_s)
        assert (charge.download_s, charge.download_energy_j) == (start.download_s, start.download_energy_j)
        assert charge.compute_s < 1e-6


def test_a_job_that_arrives_is_charged_exactly_its_price():
    # at late times the sum's rounding exceeds short phases; the full price must come out all the same
    for dispatched_s in (0.0, 0.1, 1e3 / 3, 1e9 / 7, 1e17):
        start, upload = NETWORK.start(1, WORK, 1516), NETWORK.upload(1, 777)
        job = JobPrice(dispatched_s=dispatched_s, start=start, upload=upload)
        charge = NETWORK.energy_until(job, job.arrival_s)
        assert (charge.download_energy_j, charge.compute_energy_j) == (start.download_energy_j, start.compute_energy_j)
        assert (charge.upload_energy_j, charge.upload_s) == (upload.energy_j, upload.upload_s)


def test_all_mistakes_of_a_network_are_in_one_message():
    link = Link(uplink_rate_bit_s=0.0, downlink_rate_bit_s=1.0, uplink_power_w=0.2, downlink_power_w=float("nan"))
    with pytest.raises(ConfigError, match=r"uplink_rate_bit_s = 0\.0.*downlink_power_w = nan.*slowdown = \(\)"):
        ConstantRateNetwork(link=link, energy=CMOSRadioEnergy(), slowdown=())
