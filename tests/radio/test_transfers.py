"""Uploads whose grants change: what they send is the integral of the rate, what they take that of the power."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from eafl_flower.core.rng import generator
from eafl_flower.errors import RunFailedError
from eafl_flower.radio.transfers import alone, shared_out, waiting
from eafl_flower.types import Grant, Phase


@dataclass(frozen=True)
class Table:
    """Grants what the table says for the client at the time."""

    grants_at: dict
    coupled: ClassVar = True

    def download(self, client, time_s, num_bytes):
        return Phase(time_s=0.0, energy_j=0.0)

    def grants(self, time_s, uploads):
        return [self.grants_at[time_s, upload.client] for upload in uploads]


@pytest.mark.parametrize("seed", range(20))
def test_bits_and_joules_are_integrals_of_rate_and_power(seed):
    rng = generator(seed, "grants")
    times = np.concatenate([[3.0], 3.0 + np.cumsum(rng.uniform(0.01, 2.0, 6))])
    rates, powers = rng.uniform(0.0, 50.0, 7) * (rng.random(7) < 0.8), rng.uniform(0.0, 2.0, 7)
    table = Table({(t, 0): Grant(rate_bit_s=r, power_w=p) for t, r, p in zip(times, rates, powers, strict=True)})
    transfer = waiting(10**4, 3.0)
    for time_s in times:
        transfer = shared_out(table, {0: transfer}, time_s).get(0, transfer)
    end_s = times[-1] + 0.5
    lengths = np.diff([*times, end_s])
    took, share = transfer.spent(end_s - 3.0, done=False)
    assert share * 8e4 == pytest.approx(float(rates @ lengths), rel=1e-9)
    assert took.energy_j == pytest.approx(float(powers @ lengths), rel=1e-9)
    assert took.time_s == pytest.approx(end_s - 3.0)


def test_an_upload_ends_when_the_integral_of_its_rate_is_its_size():
    grants = {(0.0, 0): Grant(rate_bit_s=8.0, power_w=1.0), (5.0, 0): Grant(rate_bit_s=2.0, power_w=3.0)}
    transfer = shared_out(Table(grants), {0: waiting(10, 0.0)}, 0.0)[0]
    assert transfer.end_s == 10.0
    transfer = shared_out(Table(grants), {0: transfer}, 5.0)[0]
    assert transfer.end_s == 25.0  # 40 bits are left
    assert transfer.spent(25.0, done=True) == (Phase(time_s=25.0, energy_j=65.0), 1.0)


def test_a_grant_that_stays_changes_no_bit_of_the_end():
    radio = Table(dict.fromkeys(((0.1, 0), (0.2, 0), (0.7, 0)), Grant(rate_bit_s=1e3 / 7, power_w=0.3)))
    once = shared_out(radio, {0: waiting(77, 0.1)}, 0.1)[0]
    assert shared_out(radio, {0: once}, 0.2) == {}
    assert once.end_s == 0.1 + 616 / (1e3 / 7)


def test_nothing_is_sent_and_nothing_ends_without_a_rate():
    transfer = waiting(5, 1.0)
    assert transfer.end_s == float("inf")
    assert transfer.spent(9.0, done=False) == (Phase(time_s=9.0, energy_j=0.0), 0.0)


def test_an_empty_upload_is_done_when_it_begins():
    transfer = alone(Table({(2.0, 4): Grant(rate_bit_s=1.0, power_w=1.0)}), 4, 0, 2.0)
    assert transfer.end_s == 2.0
    assert transfer.spent(0.0, done=True) == (Phase(time_s=0.0, energy_j=0.0), 1.0)


@pytest.mark.parametrize(
    ("grants", "words"),
    [
        ([], "0 grants for 1 uploads"),
        ([Grant(rate_bit_s=-1.0, power_w=0.0)], "rate_bit_s=-1.0"),
        ([Grant(rate_bit_s=1.0, power_w=float("nan"))], "power_w=nan"),
        ([Grant(rate_bit_s=float("inf"), power_w=0.0)], "rate_bit_s=inf"),
    ],
)
def test_a_radio_that_grants_what_cannot_be_is_named(grants, words):
    class Wrong(Table):
        def grants(self, time_s, uploads):
            return grants

    with pytest.raises(RunFailedError, match=f"Wrong grants .*{words}"):
        alone(Wrong({}), 0, 1, 0.0)
