"""The command ``eafl mobility``: look at moving vehicles and roadside units before anyone trains."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from eafl_flower.cli.data import Debug
from eafl_flower.cli.shared import reported
from eafl_flower.results.views.terminal import new_console, say

if TYPE_CHECKING:
    from eafl_flower.mobility.coverage import Coverage, HandoverRule
    from eafl_flower.mobility.handovers import HandoverStatistics
    from eafl_flower.mobility.recordings import Recording
    from eafl_flower.mobility.tables import TraceColumns
    from eafl_flower.mobility.traces import Array, Traces

N = TypeVar("N", int, float)
_BY_HEADER = "told by the header"


@reported
def mobility(
    file: Annotated[
        Path,
        typer.Argument(show_default=False, help="Positions: a CSV file, or XML of sumo --fcd-output; plain or gzip."),
    ],
    units: Annotated[
        int | None, typer.Option(min=1, help="Place so many units where vehicles gather (k-means).", show_default="9")
    ] = None,
    grid: Annotated[
        str, typer.Option(metavar="AxB", help="Place units on a grid, A to the east, B to the north.")
    ] = "",
    unit: Annotated[
        list[str] | None, typer.Option(metavar="X,Y", help="Place a unit at this point (metres); may be repeated.")
    ] = None,
    radius_m: Annotated[float, typer.Option(help="How far a unit reaches.")] = 500.0,
    hysteresis_m: Annotated[float, typer.Option(help="How much nearer another unit must be.")] = 25.0,
    time_to_trigger_s: Annotated[float, typer.Option(help="For how long it must be nearer.")] = 5.0,
    step_s: Annotated[float, typer.Option(help="Step of the times looked at.")] = 5.0,
    at_most: Annotated[
        int | None, typer.Option(min=1, help="Take so many vehicles, the first.", show_default="all")
    ] = None,
    fastest_km_h: Annotated[float, typer.Option(help="A sample that would need more is left out.")] = 120.0,
    longest_gap_s: Annotated[float, typer.Option(help="Without a sample for longer it is not there.")] = 300.0,
    vehicle: Annotated[str, typer.Option(help="A table's column with the vehicle.", show_default=_BY_HEADER)] = "",
    time: Annotated[str, typer.Option(help="Its column with the time.", show_default=_BY_HEADER)] = "",
    x: Annotated[str, typer.Option(help="Its column to the east, in metres.", show_default=_BY_HEADER)] = "",
    y: Annotated[str, typer.Option(help="Its column to the north, in metres.", show_default=_BY_HEADER)] = "",
    geographic: Annotated[
        bool, typer.Option("--geographic", help="x and y, named or of SUMO, are longitude and latitude.")
    ] = False,
    round_s: Annotated[float, typer.Option(help="Also find the scale of the map for rounds so long.")] = 0.0,
    rounds_a_border: Annotated[float, typer.Option(help="At it, a border is crossed once in so many rounds.")] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of k-means.")] = 1,
    picture: Annotated[Path | None, typer.Option(help="Also draw all of it (PNG).", show_default=False)] = None,
    debug: Debug = False,
) -> None:
    """Say where vehicles of a file drive, which roadside unit would serve them, and how often they change it.

    Each vehicle is a client of a run. The headers of San Francisco's taxis and of NGSIM are known; others are named.
    """
    from eafl_flower.mobility.coverage import HandoverRule, cover
    from eafl_flower.mobility.handovers import handover_statistics
    from eafl_flower.mobility.reading import read_traces
    from eafl_flower.mobility.recordings import Limits

    rule = HandoverRule(
        radius_m=radius_m, hysteresis_m=hysteresis_m, time_to_trigger_s=time_to_trigger_s, step_s=step_s
    )
    recording = read_traces(
        file,
        _columns(vehicle, time, x, y, geographic),
        geographic=geographic,
        limits=Limits(fastest_m_s=fastest_km_h / 3.6, longest_gap_s=longest_gap_s),
    )
    traces = recording.traces
    if at_most and at_most < len(traces):
        traces = traces.of(range(at_most))
    units_m, placed = _units(traces, units, grid, unit or [], seed)
    coverage = cover(traces, units_m, rule)
    statistics = handover_statistics(coverage)
    console = new_console()
    for line in (
        *_recorded(recording, fastest_km_h),
        *_driven(traces, recording),
        *_told(coverage, statistics, placed),
    ):
        say(console, line)
    if round_s:
        say(console, _scale(traces, units_m, rule, round_s, rounds_a_border))
    if picture is not None:
        from eafl_flower.results.views.mobility_picture import write_picture

        write_picture(picture, coverage, statistics)
        say(console, f"Picture: {picture}")


def _columns(vehicle: str, time: str, x: str, y: str, geographic: bool) -> "TraceColumns | None":
    from eafl_flower.mobility.tables import TraceColumns

    given = (vehicle, time, x, y)
    if not any(given):
        return None
    if not all(given):
        raise typer.BadParameter("--vehicle, --time, --x and --y name the columns of a table together: give all four")
    return TraceColumns(vehicle=vehicle, time=time, x=x, y=y, geographic=geographic)


def _units(traces: "Traces", number: int | None, grid: str, points: list[str], seed: int) -> tuple["Array", str]:
    """Return positions of units [m], and how they were placed."""
    import numpy as np

    from eafl_flower.core.rng import generator
    from eafl_flower.mobility.placement import grid_units, k_means_units

    if sum(map(bool, (number, grid, points))) > 1:
        raise typer.BadParameter("units are placed by one of --units, --grid and --unit")
    if grid:
        columns, rows = _two(grid.lower(), "x", int, '--grid: expected two numbers, as in "4x3"')
        return grid_units(traces, columns, rows), f"on a grid of {columns} x {rows}"
    if points:
        places = [_two(point, ",", float, '--unit: expected x and y in metres, as in "250,-100"') for point in points]
        return np.array(places), "where they were told to be"
    return k_means_units(traces, number or 9, generator(seed, "units")), "where vehicles gather"


def _two(text: str, sign: str, kind: Callable[[str], N], expected: str) -> tuple[N, N]:
    try:
        first, second = map(kind, text.split(sign))
    except ValueError as error:
        msg = f"{expected}; found {text!r}"
        raise typer.BadParameter(msg) from error
    return first, second


def _recorded(recording: "Recording", fastest_km_h: float) -> Iterator[str]:
    from eafl_flower.data.tables.files import counted

    rows, jumps, repeats = recording.num_rows, recording.num_jumps, recording.num_repeats
    read = f"{counted(len(recording.traces), 'vehicle')}, {counted(rows, 'row')}"
    yield (
        f"{read}; left out: {jumps:,} ({jumps / rows:.2%}) that would need more than {fastest_km_h:g} km/h, "
        f"{repeats:,} of a time that is there already"
    )


def _driven(traces: "Traces", recording: "Recording") -> Iterator[str]:
    import numpy as np

    from eafl_flower.results.views.quantities import time_text

    if len(traces) < len(recording.traces):
        yield f"the first {len(traces):,} of them, {len(traces.time_s):,} samples, are taken"
    inside = np.ones(len(traces.time_s) - 1, np.bool_)
    inside[traces.offsets[1:-1] - 1] = False
    steps_s = np.diff(traces.time_s)[inside]
    step = f"; a sample every {time_text(float(np.median(steps_s)))} (median)" if len(steps_s) else ""
    yield f"{time_text(traces.end_s - traces.start_s)}, from {_when(traces.start_s)} to {_when(traces.end_s)}{step}"
    origin = recording.plane
    about = f", from {origin.latitude:.5f} N, {origin.longitude:.5f} E" if origin else ""
    yield (
        f"x {traces.x_m.min():,.0f} to {traces.x_m.max():,.0f} m, "
        f"y {traces.y_m.min():,.0f} to {traces.y_m.max():,.0f} m{about}"
    )


def _told(coverage: "Coverage", statistics: "HandoverStatistics", placed: str) -> Iterator[str]:
    from eafl_flower.data.tables.files import counted
    from eafl_flower.results.views.quantities import percent_text, time_text

    rule, found, number = coverage.rule, statistics, counted(len(coverage.units_m), "unit")
    yield (
        f"{number} {placed}, radius {rule.radius_m:,g} m, hysteresis {rule.hysteresis_m:g} m "
        f"for {rule.time_to_trigger_s:g} s, looked at every {rule.step_s:g} s"
    )
    yield f"served: {percent_text(found.covered_share)} of the time that vehicles are there"
    yield (
        f"hand-overs: {found.num_handovers:,}, {found.handovers_per_vehicle:.3g} a vehicle, "
        f"{found.handovers_per_minute:.3g} a minute of service; {percent_text(found.ping_pong_share)} go back at once"
    )
    short, usual, long = (time_text(float(stay_s)) for stay_s in found.stay_quantiles_s(0.1, 0.5, 0.9))
    border = f"; a border every {time_text(found.seconds_a_border)}" if math.isfinite(found.seconds_a_border) else ""
    yield f"a unit serves for {usual} (median; 10 %: {short}, 90 %: {long}){border}"


def _scale(traces: "Traces", units_m: "Array", rule: "HandoverRule", round_s: float, rounds: float) -> str:
    from eafl_flower.mobility.handovers import handover_statistics
    from eafl_flower.mobility.scale import motion_scale
    from eafl_flower.results.views.quantities import percent_text

    centre = units_m.mean(axis=0)
    found = motion_scale(
        traces, units_m, rule, round_s=round_s, rounds_a_border=rounds, about_m=(float(centre[0]), float(centre[1]))
    )
    share = percent_text(handover_statistics(found.coverage).covered_share)
    return (
        f"scale of the map: {found.scale:.4g}; at it a border is crossed every {found.rounds_a_border:.3g} rounds of "
        f"{round_s:g} s, and {share} of the time is served"
    )


def _when(time_s: float) -> str:
    """Return a time in words: a date if it can be one of Unix, else seconds."""
    from datetime import UTC, datetime

    if not 1e8 < time_s < 1e10:
        return f"{time_s:,.6g} s"
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
