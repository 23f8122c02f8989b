"""Which alignments are asked for, what is read off them, and what tables, claims and figures say of invented ones."""

from dataclasses import replace

import numpy as np
import pytest
from invented_alignments import InventedStore, invented
from matplotlib.figure import Figure
from scipy import stats

from eafl_flower.alignment import Alignment, User, access_point, statistics_of
from eafl_flower.alignment.learner import AlignmentLearner
from eafl_flower.alignment.packing import as_floats
from eafl_flower.alignment.user import Pilots
from eafl_flower.alignment.whitening import fit_whitening, no_whitening
from eafl_flower.radio.mimo import complex_normal, draw_channel
from experiments.alignment import claimed, costs, figures, measures, questions, tables, worth
from experiments.alignment.measures import Band, band, gap
from experiments.alignment.questions import QUESTIONS, Runs, Scope, over_uses, relevant, scenarios
from experiments.alignment.record import plain, scenario_of
from experiments.alignment.run import measure, write
from experiments.alignment.settings import METHODS, SEEDS, WORLDS, Scenario, method_of

QUICK = Scope("-", world="digits", seeds=SEEDS[:2])
FULL = Scope("-")


@pytest.fixture
def runs(tmp_path):
    return Runs(QUICK, InventedStore(tmp_path / "cells.jsonl"))


def test_the_compression_factors_are_those_of_the_source():
    usual = Scenario(method="federated")
    found = [round(measures.zeta(replace(usual, uses=uses), 192), 2) for uses in (1, 2, 4, 6, 8, 10, 20)]
    assert found == [1.04, 2.08, 4.17, 6.25, 8.33, 10.42, 20.83]
    halves = [measures.zeta(replace(usual, method="top-k", uses=uses), 192) for uses in (1, 5, 10)]
    assert halves == [measures.zeta(replace(usual, uses=uses), 192) for uses in (2, 10, 20)]


def test_the_full_form_has_the_grids_of_the_source():
    found = scenarios(FULL, "compression")
    assert (len(FULL.seeds), {s.antennas for s in found}, {s.snr_db for s in found}) == (6, {1, 2, 4}, {20.0})
    for method in ("federated", "multi-link", "first-k"):
        assert {s.uses for s in found if s.method == method} == set(WORLDS["cifar10"].uses)
    assert {2 * s.uses for s in found if s.method == "top-k"} <= set(WORLDS["cifar10"].uses)
    assert {s.snr_db for s in scenarios(FULL, "snr")} == {-20.0, -10.0, 10.0, 20.0, 30.0}
    assert {s.convention for s in scenarios(FULL, "snr")} == {"code", "per_symbol"}
    assert {(s.share, s.antennas) for s in scenarios(FULL, "groups")} == {(0.1, 4), (0.5, 4), (1.0, 4)}


@pytest.mark.parametrize("scope", [QUICK, FULL])
def test_no_scenario_is_asked_for_twice_and_all_features_fit_into_a_latent(scope):
    size = int(scope.of.access_point.split("-")[1])
    for question in QUESTIONS:
        found = scenarios(scope, question)
        assert len(set(found)) == len(found)
        assert all(2 * s.uses * s.antennas <= size for s in found if s.method in ("first-k", "top-k"))
        assert [scenario_of(plain(s)) for s in found] == found


def test_what_does_not_matter_to_a_method_does_not_make_another_cell():
    changes = {"exchange": "pilots", "pilot_snr_db": 0.0, "late_from": 15}
    assert relevant(Scenario(method="eigen-k-own", **changes)) == Scenario(method="eigen-k-own")
    assert relevant(Scenario(**changes)) == Scenario(**changes)
    assert relevant(Scenario(method="eigen-k-own", csi_error=0.1)).csi_error == 0.1


def test_worlds_are_whole():
    for world in WORLDS.values():
        for users in world.groups.values():
            assert set(users) <= set(world.encoders) - {world.access_point} and len(set(users)) == len(users)
        assert world.usual in world.uses and set(world.snr_uses) <= {*world.uses, 8}
        assert all(len(users) == 4 for group, users in world.groups.items() if group != "all")


def test_a_band_is_the_interval_of_student():
    values = [0.5, 0.7, 0.6, 0.9]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = band(values)
    assert (found.mean - found.half, found.mean + found.half) == (pytest.approx(low), pytest.approx(high))
    assert found.error == pytest.approx(stats.sem(values))
    assert (band([0.3]).half, band([0.3]).error) == (0.0, np.inf)


def test_gaps_are_paired_by_seed():
    found = gap([0.9, 0.5, 0.7], [0.8, 0.4, 0.6])
    assert (found.mean, found.half) == (pytest.approx(0.1), pytest.approx(0.0, abs=1e-12))


def test_the_network_mse_is_the_sum_over_users_divided_by_the_uses_that_are_made():
    result = {"mse": [1.0, 2.0, 3.0], "variance": [2.0, 2.0, 6.0]}
    assert measures.network_mse(result, Scenario(uses=4)) == 1.5
    assert measures.network_mse(result, Scenario(uses=2, method="top-k")) == 3.0
    assert measures.relative_error(result) == pytest.approx((0.5 + 1 + 0.5) / 3)


def test_a_row_for_each_user_has_the_columns_of_the_source_first():
    scenario = Scenario(world="digits", method="top-k", uses=3)
    found = measures.rows(scenario, invented(plain(scenario)), "compression")
    assert len(found) == len(WORLDS["digits"].groups["all"])
    assert all(tuple(row) == measures.COLUMNS for row in found)
    first = found[0]
    assert (first["Channel Usage"], first["Case"], first["Latent Real Dim"], first["Latent Complex Dim"]) == (
        6, "Baseline Top-K", 48, 24,
    )  # fmt: skip
    assert float(first["Loss"]) == pytest.approx(float(first["MSE"]) / 3, rel=1e-5)


def message_sizes(exchange, uses, antennas, sizes, n):
    """Bytes that an alignment of these shapes really sends: down to one user, and up from all."""
    rng = np.random.default_rng(0)
    white = complex_normal((sizes[0], n), 1.0, rng)
    white = fit_whitening(white).apply(white)
    point = access_point(Alignment(channel_uses=uses), white, antennas)
    precoder = point.precoder(point.init(rng), 0)
    down, up = as_floats(precoder, np.float32), 0
    for size in sizes[1:]:
        own = complex_normal((size, n), 1.0, rng)
        known = Pilots(latents=own) if exchange == "pilots" else statistics_of(own, white)
        user = User(channel=draw_channel(antennas, antennas, rng), noise_std=0.1, known=known)
        if exchange == "pilots":
            down = as_floats(precoder @ white, np.float32)
        learner = AlignmentLearner(user=user, whitening=no_whitening(size), size=2 * size)
        message, _, _ = learner.answer((down,))
        up += sum(array.nbytes for array in message.values())
    return down.nbytes, up


@pytest.mark.parametrize("exchange", ["pilots", "statistics"])
def test_bytes_are_those_of_real_messages(exchange):
    shape = costs.Shape(uses=3, antennas=2, dimensions=12, own=(8, 20), num_pilots=50)
    down, up = message_sizes(exchange, 3, 2, (12, 8, 20), 50)
    assert costs.downlink_bytes(shape, "shared", exchange) == down
    assert costs.downlink_bytes(shape, "multi-link", exchange) == 2 * down
    assert costs.uplink_bytes(shape, exchange) == up


def test_sums_cost_the_same_whatever_the_number_of_pilots_and_sharing_spares_all_but_one_link():
    few, many = (costs.Shape(uses=2, antennas=2, dimensions=10, own=(9, 9, 9), num_pilots=n) for n in (100, 10_000))
    for links in ("shared", "multi-link"):
        assert costs.access_point_round_macs(few, links, "statistics") == costs.access_point_round_macs(
            many, links, "statistics"
        )
        assert costs.downlink_bytes(few, links, "statistics") == costs.downlink_bytes(many, links, "statistics")
    assert costs.user_round_macs(few, 9, "statistics") == costs.user_round_macs(many, 9, "statistics")
    assert costs.user_round_macs(few, 9, "pilots") < costs.user_round_macs(many, 9, "pilots")
    for of_image in (costs.image_uses, costs.access_point_image_macs):
        assert of_image(few, "multi-link") == 3 * of_image(few, "shared")
    assert costs.before_bytes(few, "pilots") == 0 < costs.before_bytes(few, "statistics")


def test_a_shared_precoder_is_worth_it_if_own_ones_are_hardly_better_and_a_plain_broadcast_is_worse():
    plain_ = [[0.5, 0.51, 0.49], [0.4, 0.4, 0.4]]
    assert worth.verdict([0.8, 0.81, 0.79], [0.805, 0.815, 0.795], plain_).words == "yes"
    assert "own precoders are 5.0 points better" in worth.verdict([0.8] * 3, [0.85] * 3, plain_).words
    assert "a plain broadcast does as well" in worth.verdict([0.5, 0.6, 0.4], [0.5] * 3, plain_).words
    assert "a plain broadcast" in worth.verdict([0.5, 0.6, 0.4], [0.5] * 3, plain_[::-1]).words


def test_claims_hold_by_their_rules():
    sure, unsure, below = Band(0.2, 0.01, 6), Band(0.02, 0.2, 6), Band(-0.1, 0.01, 6)
    assert claimed.at_least_equal([sure, unsure]) == "yes"
    assert claimed.at_least_equal([sure, Band(-0.01, 0.1, 6)]) == "partly"
    assert claimed.at_least_equal([sure, below]) == "no"
    assert claimed.above_by([sure, sure], 0.1) == "yes"
    assert claimed.above_by([sure, unsure], 0.0) == "partly"
    assert claimed.above_by([below, unsure], 0.0) == "no"


def test_classifiers_are_trained_before_anything_is_aligned(runs):
    measure(runs, list(QUESTIONS), jobs=1)
    asked = runs.store.asked
    first = questions.encoder_cells(QUICK)
    assert asked[: len(first)] == first
    assert {cell.function for cell in asked[len(first) :]} == {"experiments.alignment.record:recorded"}


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_has_a_table_without_gaps(runs, question):
    text = tables.written(runs, question)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 2
    assert not any("nan" in row or "||" in row.replace("---|", "") for row in rows)


def test_conventions_stand_with_every_accuracy(runs):
    for question in ("compression", "snr", "groups", "aligners", "conditions"):
        assert "noise √" in tables.written(runs, question)


def test_a_heading_speaks_of_intervals_where_the_table_has_them(runs):
    for question in ("compression", "snr"):
        for table in tables.written(runs, question).split("### ")[1:]:
            heading, _, body = table.partition("\n")
            assert heading == "Claims" or ("interval" in heading) == ("±" in body), heading


def test_no_band_reaches_below_what_a_logarithmic_axis_shows():
    axes = Figure().subplots()
    axes.set_yscale("log")
    found = [(1.0, Band(2.0, 3.0, 6)), (2.0, Band(2.0, 1.0, 6)), (3.0, Band(2.0, 0.5, 6))]
    figures._line(axes, found, log=True, color="C0")
    (drawn,) = (path.vertices for path in axes.collections[0].get_paths())
    assert (drawn[:, 0].min(), drawn[:, 1].min()) == (2.0, 1.0)
    assert list(axes.lines[0].get_xdata()) == [1.0, 2.0, 3.0]


def test_the_figure_of_conditions_tells_its_compression_factor(runs):
    assert "ζ = 6.2 %" in figures.conditions(runs).get_suptitle()


@pytest.mark.slow
def test_all_is_written_and_all_figures_are_drawn(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "DPI", 30)
    write(runs, tmp_path, list(QUESTIONS))
    drawn = ("compression", "network-mse", "snr", "groups", "conditions")
    assert all((tmp_path / f"{name}.png").stat().st_size > 1000 for name in drawn)
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    users = {group: len(names) for group, names in WORLDS["digits"].groups.items()}
    expected = sum(users[s.group] for question in QUESTIONS for s in scenarios(QUICK, question)) * len(QUICK.seeds)
    assert len(lines) == expected + 1
    assert "one precoder at least as accurate" in (tmp_path / "claims.csv").read_text()


def test_top_k_stands_at_twice_its_uses_and_not_at_odd_ones():
    base = Scenario(world="digits")
    assert [s.uses for s in over_uses(base, "top-k", (1, 2, 4, 6))] == [1, 2, 3]
    assert [s.uses for s in over_uses(base, "federated", (1, 2, 4, 6))] == [1, 2, 4, 6]


def test_every_method_that_is_asked_for_has_a_title():
    for scope in (QUICK, FULL):
        for question in QUESTIONS:
            assert all(method_of(s.method).title for s in scenarios(scope, question))
    assert set(figures.STYLES) >= {*questions.COMPARED, *questions.OVER_SNR}
    assert set(questions.COMPARED) | set(questions.VARIANTS) | set(questions.OVER_SNR) <= set(METHODS)
