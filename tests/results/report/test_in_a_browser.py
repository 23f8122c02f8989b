"""Every kind of page as a browser lays it out: on a phone, a tablet and a desk, light and dark, and on paper."""

import json

import pytest
from browser import find_browser, measured, printed
from city_run import city_run

from eafl_flower.results.report.comparison_page import comparison_page
from eafl_flower.results.report.run_page import run_page
from eafl_flower.results.report.sweep_page import sweep_page

pytestmark = pytest.mark.slow
WIDTHS = (390, 768, 1280)
PAPER = 688  # of A4 between its margins, in CSS pixels
LONG = "a-name-that-is-much-longer-than-any-column-of-any-table-" * 3


MADE = {}


@pytest.fixture(params=["run", "city", "comparison", "sweep", "long names"])
def page(request, make_run, tmp_path):
    find_browser()
    if request.param not in MADE:
        MADE[request.param] = made(request, make_run, tmp_path)
    return MADE[request.param]


def made(request, make_run, tmp_path):
    if request.param == "city":
        return run_page(city_run(tmp_path / "city", vehicles=6, num_rounds=12))
    if request.param == "comparison":
        return comparison_page([make_run(seed=1), make_run(seed=2, strategy__merges=150)])
    if request.param == "sweep":
        folder = tmp_path / "sweep"
        folder.mkdir()
        for codec in ("int8", "float32"):
            for seed in (1, 2):
                run = make_run(codec__name=codec, seed=seed, results__baselines="none")
                run.path.rename(folder / f"{codec}-{seed}")
                (folder / f"{codec}-{seed}.toml").touch()
        return sweep_page(folder)
    run = make_run()
    if request.param == "long names":
        metrics = {f"accuracy-{LONG}": 0.5, "accuracy-before": 0.4}
        events = [{"event": "evaluate", "merge": 20, "time_s": time_s, "metrics": metrics} for time_s in (9.0, 12.0)]
        with run.events_path.open("a") as log:
            log.writelines(f"{json.dumps(event)}\n" for event in events)
        scores = [{**run.summary()["scores"][0], "values": {LONG: 0.5, "before": 0.4}}]
        run.write_summary(run.summary() | {"name": LONG, "stopped": LONG, "scores": scores})
    return run_page(run)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_fits_its_window_and_can_be_read(page, dark):
    for width, told in measured(page, WIDTHS, dark=dark).items():
        where = f"at {width} px"
        assert told["dark"] == dark, where
        assert told["overflow"] <= 0, where
        assert told["lost"] == [], where
        assert told["headings"] == 1, where
        assert told["figures"] > 3, where
        assert told["unnamed"] == told["broken"] == 0, where
        assert told["outside"] == [], where
        assert told["touching"] == [], where
        assert told["faint"] == [], where
        assert told["smallest"] >= 8.5, where  # px: what a phone shows of a figure


def test_a_page_is_printed_light_and_whole(page):
    told = measured(page, [PAPER], dark=True, paper=True)[PAPER]
    assert not told["dark"]
    assert told["cut"] == []
    assert told["overflow"] <= 0
    assert printed(page, dark=True).startswith(b"%PDF")
