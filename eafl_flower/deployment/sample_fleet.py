"""A fleet to try something with where none was recorded: one CSV file with a working day of several vans."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eafl_flower.core import rng as randomness
from eafl_flower.core.durable import open_unlinked
from eafl_flower.errors import ConfigError

VAN, TIME, LABEL = "van", "time", "consumption"
CLASSES: Final = ("low", "usual", "high")
LIMITS_KWH_100KM: Final = (28.0, 42.0)  # between the classes
_START: Final = np.datetime64("2026-03-02T08:00:00")
_STEP_S: Final = 300
_HOURS: Final = 8
_ROUTES_M_S: Final = np.array((6.0, 15.0, 25.0))  # mean speed in town, in the country, on a motorway
_STOPS_A_MINUTE: Final = np.array((0.7, 0.2, 0.02))
_GRAVITY_M_S2, _AIR_KG_M3, _ROLLING, _RECOVERED, _EFFICIENCY = 9.81, 1.2, 0.012, 0.6, 0.85

Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Van:
    """What differs between vans, and is in no column."""

    mass_kg: float
    drag_area_m2: float
    routes: Values  # shares of town, country and motorway
    hills_percent: float
    morning_c: float


def write_fleet(path: Path, *, vans: int = 12, seed: int = 1) -> int:
    """Write a CSV file of electric vans: a row each five minutes of eight hours, made up and not recorded.

    The columns are ``van``, ``time`` (ISO 8601), ``speed_km_h``, ``stops`` a minute, ``load_kg``, ``slope_percent``,
    ``outside_c`` [degrees Celsius] and the class, ``consumption``: "low" below 28, "high" from 42 kWh/100 km on, else
    "usual". It follows from the other columns, from mass and drag of the van, and from chance.

    Parameters
    ----------
    path
        The file.
    vans
        How many there are.
    seed
        A van's day is a function of it and the van's number.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    ConfigError
        If the number of vans is none, or the file is there already: it might be somebody's data.
    """
    if not 1 <= vans <= 1000:
        raise ConfigError(f"vans = {vans}: expected 1 to 1000")
    if path.exists():
        raise ConfigError(f"{path} is there already, and generated rows replace no file: remove it, or name another")
    digits = max(2, len(str(vans)))
    tables = [
        _day(randomness.generator(seed, "data", "fleet", van)).assign(**{VAN: f"van-{van + 1:0{digits}}"})
        for van in range(vans)
    ]
    table = pd.concat(tables)[[VAN, TIME, "speed_km_h", "stops", "load_kg", "slope_percent", "outside_c", LABEL]]
    with open_unlinked(path, "w", newline="") as file:
        table.to_csv(file, index=False)
    return len(table)


def _day(rng: np.random.Generator) -> pd.DataFrame:
    """Return what one van records of its day."""
    van = _Van(
        mass_kg=rng.uniform(1900, 2700),
        drag_area_m2=rng.uniform(1.8, 2.8),
        routes=rng.dirichlet((1.0, 1.0, 1.0)),
        hills_percent=rng.uniform(0.5, 3.0),
        morning_c=rng.uniform(-6.0, 6.0),
    )
    rows = _HOURS * 3600 // _STEP_S
    seconds = np.arange(rows) * _STEP_S
    route = np.repeat(rng.choice(3, size=-(-rows // 6), p=van.routes), 6)[:rows]  # a new one every half hour
    speed_m_s = np.maximum(1.5, _ROUTES_M_S[route] * (1 + 0.2 * _wandering(rng, rows)))
    stops = rng.poisson(5 * _STOPS_A_MINUTE[route]) / 5
    load_kg = rng.uniform(600, 1100) * (1 - 0.9 * np.cumsum(stops) / max(1.0, float(stops.sum())))
    slope_percent = van.hills_percent * _wandering(rng, rows)
    outside_c = van.morning_c + 8 * np.sin(np.pi * seconds / (_HOURS * 3600)) + 0.3 * rng.standard_normal(rows)
    kwh = _kwh_100km(van, speed_m_s, stops, load_kg, slope_percent, outside_c)
    kwh *= 1 + 0.08 * rng.standard_normal(rows)
    return pd.DataFrame(
        {
            TIME: np.datetime_as_string(_START + seconds.astype("timedelta64[s]")),
            "speed_km_h": (3.6 * speed_m_s).round(1),
            "stops": stops.round(2),
            "load_kg": load_kg.round(),
            "slope_percent": slope_percent.round(2),
            "outside_c": outside_c.round(1),
            LABEL: np.array(CLASSES)[np.digitize(kwh, LIMITS_KWH_100KM)],
        }
    )


def _kwh_100km(
    van: _Van, speed_m_s: Values, stops: Values, load_kg: Values, slope_percent: Values, outside_c: Values
) -> Values:
    """Return what the battery gives: rolling, air, slope, starts after stops, and heating below 18 degrees."""
    weight_n = (van.mass_kg + load_kg) * _GRAVITY_M_S2
    climb_n = weight_n * slope_percent / 100
    start_n = (1 - _RECOVERED) * stops / 60 / speed_m_s * (van.mass_kg + load_kg) * np.maximum(speed_m_s, 8.0) ** 2 / 2
    force_n = _ROLLING * weight_n + _AIR_KG_M3 / 2 * van.drag_area_m2 * speed_m_s**2 + start_n
    force_n = force_n + np.where(climb_n > 0, climb_n, _RECOVERED * climb_n)
    heating_w = 220 * np.maximum(0, 18 - outside_c)
    joules_a_metre: Values = np.maximum(force_n, 0) / _EFFICIENCY + heating_w / speed_m_s
    return joules_a_metre * 1e5 / 3.6e6


def _wandering(rng: np.random.Generator, rows: int) -> Values:
    """Return values of mean 0 and variance 1 that change slowly: a first-order autoregression."""
    keep = 0.7
    steps = rng.standard_normal(rows) * np.sqrt(1 - keep**2)
    values = np.empty(rows)
    values[0] = rng.standard_normal()
    for row in range(1, rows):
        values[row] = keep * values[row - 1] + steps[row]
    return values
