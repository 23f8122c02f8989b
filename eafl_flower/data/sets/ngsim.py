"""NGSIM US-101: will this vehicle brake, keep its speed or accelerate? One client a vehicle.

Two forms of the table are read, told apart by their header:

* the publisher's (``v_Vel``, ``Space_Headway``, in feet), of which rows of the location ``us-101`` are
  taken where there is such a column;
* a copy in metres (``v_Vel(m)``, ``Space_Headway(m)``) whose author multiplied feet by 0.3084 where 0.3048
  was meant; it is set right here.

Speed and space headway are used. ``Time_Headway`` is not: it is the quotient of the two with a sentinel
(9999.99) for a vehicle that stands. A space headway of 0 means that there is no leader; it and every
headway above 100 m become 100 m, a leader too far ahead to matter. A row with a speed or headway that no vehicle has is
left out, which ends the track.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core import rng as randomness
from eafl_flower.data.holders import Holders
from eafl_flower.data.sets import car_following
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import client_counts, seen_and_unseen, seen_part, unseen_part
from eafl_flower.data.tables.files import DataFile, counted, find, read_columns, read_header
from eafl_flower.data.tables.lines import lines_text
from eafl_flower.errors import DataError

FILE = DataFile(
    title="NGSIM US-101 vehicle trajectories",
    relative="ngsim/us101_trajectories_metric.csv.gz",
    published="https://data.transportation.gov, 'Next Generation Simulation (NGSIM) Vehicle Trajectories'",
)
TEST_SHARE = 0.25
# A vehicle needs rows to train on, the six that are left out, and rows to be scored on.
MIN_ROWS = 16
NO_LEADER_M = 100.0
FEET_M = 0.3048
WRONG_FEET_M = 0.3084

_METRIC = ("v_Vel(m)", "Space_Headway(m)")
_FEET = ("v_Vel", "Space_Headway")
# Columns of a table that can be read: one of these sets.
SPELLINGS = tuple(("Vehicle_ID", "Global_Time", *names) for names in (_METRIC, _FEET))
_LOCATION = "us-101"
_FRAME_MS = 1000 // car_following.FRAMES_PER_S
_GAP_ROWS = car_following.GAP_FRAMES // car_following.FRAMES_PER_S


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One vehicle's run without gaps: file rows ``(frames,)``, speed [m/s] and headway [m] at 10 Hz."""

    vehicle: int
    rows: NDArray[np.int64]
    speed_m_s: NDArray[np.float64]
    headway_m: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """The tracks of a file, in order of vehicle and time; how many rows are in none, and what to tell about them."""

    tracks: list[Track]
    rows_left_out: int
    notes: tuple[str, ...]


def is_ngsim(header: Sequence[str]) -> bool:
    """Whether a table with these columns can be read by ``read_tracks``."""
    return any(set(columns) <= set(header) for columns in SPELLINGS)


def within_sight(headway_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return headways as the model sees them: without a leader, and beyond 100 m, they are 100 m.

    Examples
    --------
    >>> within_sight(np.array([0.0, 25.0, 130.0])).tolist()
    [100.0, 25.0, 100.0]
    """
    return np.where(headway_m <= 0, NO_LEADER_M, np.minimum(headway_m, NO_LEADER_M))


def read_tracks(path: Path) -> Recorded:
    """Read the tracks of a file.

    The publisher numbers vehicles anew in each 15-minute period, so a jump in time starts another track.
    Repeated rows of one vehicle and time are taken once.

    Raises
    ------
    DataError
        As ``files.read_columns``, and if no row is of US-101, or none is possible.
    """
    header = read_header(path)
    speed, headway = _METRIC if set(_METRIC) <= set(header) else _FEET
    to_metres = FEET_M / WRONG_FEET_M if speed == _METRIC[0] else FEET_M
    text = ["Location"] if "Location" in header else []
    table = read_columns(
        path, numeric=["Vehicle_ID", "Global_Time", speed, headway], text=text, published=FILE.published
    )
    if text:
        table = table[table["Location"].str.lower() == _LOCATION]
        if len(table) == 0:
            msg = f"{path} has no row with Location {_LOCATION}; expected {FILE.title}, published at {FILE.published}"
            raise DataError(msg)
    notes, num_rows = [], len(table)
    possible = car_following.possible(table[speed].to_numpy() * to_metres, table[headway].to_numpy() * to_metres)
    if not possible.all():
        notes.append(_impossible_note(path, table.index.to_numpy()[~possible]))
        table = table[possible]
    if len(table) == 0:
        msg = f"{path}: no row is possible, expected {car_following.limits_text()}; are they in another unit?"
        raise DataError(msg)
    once = table.drop_duplicates(["Vehicle_ID", "Global_Time"])
    if repeated := len(table) - len(once):
        notes.append(f"{path.name}: left out {counted(repeated, 'row')} with the vehicle and time of another")
    table = once.sort_values(["Vehicle_ID", "Global_Time"], kind="stable")
    vehicle = table["Vehicle_ID"].to_numpy().astype(np.int64)
    time_ms = table["Global_Time"].to_numpy().astype(np.int64)
    speed_m_s = table[speed].to_numpy() * to_metres
    headway_m = within_sight(table[headway].to_numpy() * to_metres)
    rows = table.index.to_numpy().astype(np.int64)
    starts = np.flatnonzero((np.diff(vehicle) != 0) | (np.diff(time_ms) != _FRAME_MS)) + 1
    tracks = [
        Track(vehicle=int(vehicle[part[0]]), rows=rows[part], speed_m_s=speed_m_s[part], headway_m=headway_m[part])
        for part in np.split(np.arange(len(table)), starts)
    ]
    return Recorded(tracks=tracks, rows_left_out=num_rows - len(table), notes=tuple(notes))


def _impossible_note(path: Path, rows: NDArray[np.int64]) -> str:
    return (
        f"{path.name}: left out {counted(len(rows), 'row')} that no vehicle can give ({lines_text(path, rows)}), "
        f"expected {car_following.limits_text()}; mend them to keep the tracks whole"
    )


@dataclass(frozen=True, kw_only=True)
class NGSIM:
    """NGSIM US-101, a client a vehicle: ``load_ngsim_us101``."""

    def make(self, holders: Holders) -> InMemorySource:
        """Load it."""
        return load_ngsim_us101(**holders.of_files)


def load_ngsim_us101(
    *, data_dir: str | os.PathLike[str] = "", clients: int = 0, unseen: int = -1, seed: int = 1
) -> InMemorySource:
    """Load NGSIM US-101: a row a second, the last quarter of each vehicle's rows held out with 6 s left out before.

    Parameters
    ----------
    data_dir
        Folder of the file, or the file; ``EAFL_DATA_DIR`` if empty.
    clients
        Number of vehicles, drawn at random; 0 takes all.
    unseen
        How many of them never train; -1 takes a fifth.
    seed
        Decides which vehicles are taken and which are unseen.

    Raises
    ------
    DataError
        If the file is missing, damaged or has other columns, or its tracks are too short.
    ConfigError
        If it has fewer vehicles than asked for.
    """
    path = find(FILE, data_dir)
    needed = car_following.GAP_FRAMES + MIN_ROWS * car_following.FRAMES_PER_S
    recorded = read_tracks(path)
    tracks = [track for track in recorded.tracks if len(track.speed_m_s) >= needed]
    short = [track for track in recorded.tracks if len(track.speed_m_s) < needed]
    notes = list(recorded.notes)
    if short:
        seconds = needed / car_following.FRAMES_PER_S
        notes.append(f"{path.name}: left out {counted(len(short), 'track')} shorter than {seconds:g} s without a gap")
    if not tracks:
        msg = f"{path}: no vehicle is recorded for {needed / car_following.FRAMES_PER_S:.0f} s at 10 Hz without a gap"
        raise DataError(msg)
    clients, unseen = client_counts(clients, unseen, if_zero=len(tracks), available=len(tracks))
    rng = randomness.generator(seed, "data", "ngsim-us101")
    order = seen_and_unseen(len(tracks), clients=clients, unseen=unseen, rng=rng)
    parts = []
    for client, number in enumerate(order):
        track = tracks[number]
        frames = car_following.row_frames(len(track.speed_m_s))
        x = car_following.features(track.speed_m_s, track.headway_m, frames)
        y = car_following.labels(track.speed_m_s, frames)
        if client < clients - unseen:
            parts.append(seen_part(x, y, test_share=TEST_SHARE, gap=_GAP_ROWS))
        else:
            parts.append(unseen_part(x, y, gap=_GAP_ROWS))
    return InMemorySource.scaled(
        parts,
        name="ngsim-us101",
        class_names=car_following.CLASS_NAMES,
        feature_names=car_following.FEATURE_NAMES,
        num_seen=clients - unseen,
        client_names=tuple(str(tracks[number].vehicle) for number in order),
        notes=tuple(notes),
        clients_left_out=len(short),
        rows_left_out=recorded.rows_left_out + sum(len(track.rows) for track in short),
    )
