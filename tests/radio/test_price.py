from dataclasses import replace

import pytest

from eafl_flower.energy import CMOSEnergy, Processors
from eafl_flower.errors import ConfigError
from eafl_flower.radio import ConstantRate, JobPrice
from eafl_flower.radio.transfers import Transfer, alone
from eafl_flower.types import Grant, Phase, Work

RADIO = ConstantRate(uplink_rate_bit_s=1e6, downlink_rate_bit_s=5e6, uplink_power_w=0.2, downlink_power_w=0.1)
PROCESSORS = Processors(energy=CMOSEnergy(), slowdown=(1.0, 4.0))
WORK = Work(num_examples=1000, epochs=1)  # 1.2e7 cycles: 12 ms and 1.2 mJ at 1 GHz
NOTHING = Phase(time_s=0.0, energy_j=0.0)
JOB = JobPrice(
    dispatched_s=10.0,
    download=Phase(time_s=1.0, energy_j=0.1),
    compute=Phase(time_s=2.0, energy_j=3.0),
    upload=Transfer(start_s=13.0, num_bits=8, bits_left=8.0, before=NOTHING, grant=Grant(rate_bit_s=2.0, power_w=0.2)),
)


def job(dispatched_s, num_bytes=777):
    download, compute = RADIO.download(1, dispatched_s, 1516), PROCESSORS.compute(1, WORK)
    price = JobPrice(dispatched_s=dispatched_s, download=download, compute=compute)
    return replace(price, upload=alone(RADIO, 1, num_bytes, price.upload_start_s))


def test_a_job_is_priced_by_rate_power_and_clock():
    download, compute, upload = RADIO.download(0, 0.0, 2500), PROCESSORS.compute(0, WORK), alone(RADIO, 0, 1250, 3.0)
    assert (download.time_s, download.energy_j) == pytest.approx((20_000 / 5e6, 0.1 * 20_000 / 5e6))
    assert (compute.time_s, compute.energy_j) == pytest.approx((0.012, 1.2e-3))
    assert (upload.segment.time_s, upload.segment.energy_j) == pytest.approx((10_000 / 1e6, 0.2 * 10_000 / 1e6))
    assert upload.end_s == pytest.approx(3.01)


def test_slowdowns_are_cycled_over_the_clients_and_multiply():
    fast, slow = PROCESSORS.compute(2, WORK), PROCESSORS.compute(3, replace(WORK, slowdown=2.0))
    assert slow.time_s == pytest.approx(8 * fast.time_s)
    assert slow.energy_j == fast.energy_j


@pytest.mark.parametrize("slowdown", [(), (1.0, 0.0), (float("nan"),), (float("inf"),)])
def test_a_slowdown_that_is_not_positive_is_refused(slowdown):
    with pytest.raises(ConfigError, match="expected at least one positive number"):
        Processors(slowdown=slowdown)


def test_a_job_downloads_then_computes_then_uploads():
    assert JOB.upload_start_s == 13.0
    assert JOB.arrival_s == 17.0
    with pytest.raises(ValueError, match="not known before its reply is in"):
        _ = replace(JOB, upload=None).arrival_s


@pytest.mark.parametrize(
    ("time_s", "download_j", "compute_j", "upload_j", "uploaded"),
    [
        (9.0, 0, 0, 0, 0),
        (10.0, 0, 0, 0, 0),
        (10.5, 0.05, 0, 0, 0),
        (11.0, 0.1, 0, 0, 0),
        (11.5, 0.1, 0.75, 0, 0),
        (13.0, 0.1, 3.0, 0, 0),
        (14.0, 0.1, 3.0, 0.2, 0.25),
        (17.0, 0.1, 3.0, 0.8, 1),
        (99.0, 0.1, 3.0, 0.8, 1),
    ],
)
def test_a_job_that_ends_early_is_charged_up_to_that_moment(time_s, download_j, compute_j, upload_j, uploaded):
    charge = JOB.until(time_s)
    assert charge.download.energy_j == pytest.approx(download_j)
    assert charge.compute.energy_j == pytest.approx(compute_j)
    assert charge.upload.energy_j == pytest.approx(upload_j)
    assert charge.energy_j == pytest.approx(download_j + compute_j + upload_j)
    assert charge.uploaded == pytest.approx(uploaded)
    times = charge.download.time_s + charge.compute.time_s + charge.upload.time_s
    assert times == pytest.approx(min(max(time_s - 10.0, 0.0), 7.0))


def test_an_upload_that_is_not_known_is_not_charged():
    charge = replace(JOB, upload=None).until(16.0)
    assert charge.energy_j == pytest.approx(3.1)
    assert (charge.upload.time_s, charge.uploaded) == (0.0, 0.0)


@pytest.mark.parametrize("dispatched_s", [0.0, 0.1, 1e3 / 3, 1e9 / 7])
def test_at_its_end_a_download_is_whole(dispatched_s):
    price = job(dispatched_s)
    charge = price.until(price.download_end_s)
    assert (charge.download, charge.downloaded) == (price.download, 1.0)
    assert charge.compute.time_s < 1e-6


@pytest.mark.parametrize("dispatched_s", [0.0, 0.1, 1e3 / 3, 1e9 / 7, 1e17])
def test_a_job_that_arrives_is_charged_exactly_its_price(dispatched_s):
    """At late times the sum's rounding exceeds short phases; the full price must come out all the same."""
    price = job(dispatched_s)
    charge = price.until(price.arrival_s)
    assert (charge.download, charge.compute) == (price.download, price.compute)
    assert (charge.upload, charge.uploaded) == (price.upload.segment, 1.0)


def test_all_mistakes_of_a_radio_are_in_one_message():
    with pytest.raises(ConfigError, match=r"uplink_rate_bit_s = 0.0.*downlink_power_w = nan"):
        ConstantRate(uplink_rate_bit_s=0.0, downlink_power_w=float("nan"))
