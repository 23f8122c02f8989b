"""Moving vehicles: positions, serving unit and mean rate of very many at one time.

    python benchmarks/mobility.py [--vehicles 100000] [--units 100] [--repeats 9] [--small]

The aim of a whole question (place, unit and mean rate of everybody) is a second. Vehicles are random ones on a grid of
streets of 10 km by 10 km; `cover` works out once who serves whom, five minutes in steps of five seconds.
"""

import argparse
import time

import numpy as np
from report import row, write_rows
from threadpoolctl import threadpool_limits
from timing import medians

from eafl_flower.mobility.coverage import HandoverRule, cover
from eafl_flower.mobility.handovers import handover_statistics
from eafl_flower.mobility.synthetic import Streets, street_traces
from eafl_flower.radio.roadside import Roadside, RoadsideRadio

AIM_S = 1.0
DURATION_S, ASKED_S = 300.0, 123.4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=100_000, help="vehicles (default 100,000)")
    parser.add_argument("--units", type=int, default=100, help="units, a square number (default 100)")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each contestant (default 9)")
    parser.add_argument("--small", action="store_true", help="10,000 vehicles, five turns")
    arguments = parser.parse_args()
    vehicles, repeats = (10_000, 5) if arguments.small else (arguments.vehicles, arguments.repeats)
    streets, side = Streets(blocks=100), round(arguments.units**0.5)
    start = time.perf_counter()
    traces = street_traces(streets, vehicles=vehicles, duration_s=DURATION_S, seed=1)
    drawn_s = time.perf_counter() - start
    ticks = (np.arange(side) + 0.5) * streets.side_m / side
    units_m = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    rule = HandoverRule(radius_m=800, step_s=5)
    start = time.perf_counter()
    coverage = cover(traces, units_m, rule)
    covered_s = time.perf_counter() - start
    radio, everybody = RoadsideRadio(Roadside(), coverage, 1), np.arange(vehicles)
    found = medians(
        {
            "positions": lambda: traces.at(ASKED_S),
            "serving unit": lambda: coverage.serving(ASKED_S),
            "predicted stay": lambda: coverage.predicted_stay_s(ASKED_S),
            "predicted next unit": lambda: coverage.predicted_next_unit(ASKED_S),
            "place, unit and mean rate": lambda: radio.mean_rate_bit_s(ASKED_S),
            "interval, 1,000 vehicles one by one": lambda: [
                coverage.interval(int(k), ASKED_S) for k in everybody[:1000]
            ],
            "hand-over statistics": lambda: handover_statistics(coverage),
        },
        repeats,
    )
    size = f"{vehicles:,} vehicles, {len(units_m)} units"
    rows = []
    for name, seconds in found.items():
        is_whole = name == "place, unit and mean rate"
        aimed = (
            {"peer": "a second", "peer_value": 1e3 * AIM_S, "ratio": AIM_S / seconds, "aim": 1.0} if is_whole else {}
        )
        rows.append(row(f"{name}, {size}", 1e3 * seconds, "ms", **aimed))
    rows.append(row(f"traffic drawn, {size}, {DURATION_S:.0f} s", drawn_s, "s"))
    rows.append(row(f"who serves whom, {size}, {len(coverage.grid_s)} times", covered_s, "s"))
    write_rows("mobility", rows)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
