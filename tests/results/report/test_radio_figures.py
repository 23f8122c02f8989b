"""Figures of runs over a radio."""

import re

import numpy as np
import pytest

from eafl_flower.config import RunConfig
from eafl_flower.power.cell_free_radio import CellFree, CellFreeRadio
from eafl_flower.results.report.activity_figures import spending_figure
from eafl_flower.results.report.radio_figures import bits_figure, map_figure, powers_figure, radio_of

pytest.importorskip("matplotlib", reason="figures need Matplotlib: pip install 'eafl-flower[report]'")
RADIO = CellFreeRadio(network=CellFree(num_aps=9), seed=5)


def merge(number, client, **fields):
    return {
        **{"event": "merge", "merge": number, "client": client, "time_s": float(number), "energy_j": 0.5},
        **{"uplink_bytes": 100, "uplink_time_s": 2.0, "uplink_energy_j": 0.02, "num_values": 200, **fields},
    }


EVENTS = [merge(1, 3), merge(2, 0, uplink_energy_j=0.04), {"event": "evaluate", "merge": 2, "time_s": 2.0}, merge(3, 3)]


def test_the_radio_of_a_run_is_made_again_from_its_settings():
    config = RunConfig.from_flat({"radio.name": "cell-free", "radio.cell-free.num-aps": 9, "seed": 5})
    assert radio_of(config.settings()) == RADIO
    assert radio_of(RunConfig().settings()) is None


def test_settings_of_another_version_give_no_map_instead_of_an_error():
    settings = RunConfig.from_flat({"radio.name": "cell-free"}).settings()
    assert radio_of(settings | {"radio.cell-free.num-aps": "many"}) is None
    assert radio_of({"radio.name": "cell-free"}) is None
    without = {key: value for key, value in settings.items() if key != "radio.cell-free.speed-m-s"}
    assert radio_of(without) == CellFreeRadio(network=CellFree(), seed=1)


def test_the_map_names_each_client_that_sent_and_its_largest_mean_power():
    figure = map_figure(RADIO, EVENTS)
    assert {"0", "3"} <= set(re.findall(r">\s*(\d+)\s*</text>", figure))
    assert "20 mW" in figure  # client 0: 0.04 J in 2 s; client 3: 0.04 J in 4 s


def test_a_run_in_which_nobody_has_sent_yet_has_a_map_of_access_points_alone():
    assert "access point" in map_figure(RADIO, [])
    assert "largest dot" not in map_figure(RADIO, [{"event": "start", "time_s": 0.0}])
    assert powers_figure([]) == ""


def test_bits_are_of_both_counts_where_both_are_told():
    both = [merge(k, 0, bits_paper=300, uplink_bytes=90 + k) for k in range(1, 90)]
    assert 'href="#term-bits-paper"' in bits_figure(both)
    assert "term-bits-paper" not in bits_figure([merge(k, 0, uplink_bytes=90 + k) for k in range(1, 9)])


def test_bits_that_never_change_are_no_figure():
    assert bits_figure(EVENTS) == ""


def test_bits_of_a_round_are_one_point():
    rounds = [merge(k, client, uplink_bytes=100 * (client + 1)) for k in (1, 2) for client in (0, 2)]
    assert "8 as sent at the end" in bits_figure(rounds)  # 100 and 300 bytes for 200 values each: 8 bits


@pytest.mark.parametrize("quantity", ["energy", "time"])
def test_a_budget_is_drawn_where_there_is_one(quantity):
    assert "budget" in spending_figure(EVENTS, quantity, 5.0)
    assert "budget" not in spending_figure(EVENTS, quantity, 0.0)


def test_where_users_move_the_map_is_of_the_last_event():
    moving = CellFreeRadio(network=CellFree(speed_m_s=50.0), seed=5)
    assert map_figure(moving, EVENTS) != map_figure(moving, [*EVENTS, merge(4, 3, time_s=9.0)])
    assert not np.allclose(moving.users_m([3], 3.0), moving.users_m([3], 9.0))
