import re

import pytest
from self_contained import assert_self_contained

from eafl_flower.errors import CheckpointError
from eafl_flower.results.report.cells import is_sweep, mean_curve, sweep_of
from eafl_flower.results.report.figures import Curve
from eafl_flower.results.report.sweep_page import sweep_page


@pytest.fixture
def make_sweep(make_run, tmp_path):
    """Make the folder that a sweep over two codecs and two seeds leaves."""

    def make(*names):
        folder = tmp_path / "sweep"
        folder.mkdir()
        for codec in ("int8", "float32"):
            for seed in (1, 2):
                settings = {"codec.name": codec, "seed": seed, "strategy.merges": 60, "results.baselines": "none"}
                run = make_run(**settings)
                place = folder / f"name={codec},seed={seed}-0000"
                run.path.rename(place)
                place.with_name(f"{place.name}.toml").touch()
        return folder

    return make


def test_a_sweep_is_told_from_a_run(make_sweep, make_run, tmp_path):
    folder = make_sweep()
    assert is_sweep(folder)
    assert not is_sweep(make_run(strategy__merges=20).path)
    assert not is_sweep(tmp_path / "runs")
    assert not is_sweep(tmp_path / "none")


def test_combinations_are_compared_over_their_seeds(make_sweep):
    folder = make_sweep()
    (folder / "name=int8,seed=1-0000").rename(folder / "name=int8,seed=1-0000-old-1")
    assert [(cell.title, len(cell.runs)) for cell in sweep_of(folder).cells] == [
        ("codec=float32", 2),
        ("codec=int8", 1),
    ]
    (folder / "name=int8,seed=1-0000-old-1").rename(folder / "name=int8,seed=1-0000")
    (dear,) = (cell.runs[0] for cell in sweep_of(folder).cells if cell.title == "codec=float32")
    dear.write_summary(dear.summary() | {"uplink_bytes": 10**9})
    text = sweep_page(folder)
    assert_self_contained(text)
    assert str(folder.parent) not in text
    assert text.count("A codec=float32") > 2
    assert re.search(r"\d ± \d", text)
    assert "codec=int8 takes least, codec=float32 most: uplink" in text


def test_runs_that_have_not_finished_are_named(make_sweep):
    folder = make_sweep()
    (folder / "name=int8,seed=2-0000" / "summary.json").unlink()
    assert "name=int8,seed=2-0000" in sweep_page(folder)
    for path in folder.glob("*/summary.json"):
        path.unlink()
    with pytest.raises(CheckpointError, match="no run that has finished"):
        sweep_page(folder)


def test_a_mean_curve_has_the_merges_that_all_have():
    curves = [
        Curve("", [0, 1, 2], [0, 10, 20], [0.1, 0.3, 0.4], [0, 5, 10]),
        Curve("", [0, 3], [0, 30], [0.3, 0.5], [0, 5]),
    ]
    mean, least, most = mean_curve("x", curves)
    assert mean == Curve("x", [0, 2], [0, 20], [0.2, 0.4], [0, 5])
    assert (least, most) == ([0.1, 0.3], [0.3, 0.5])
