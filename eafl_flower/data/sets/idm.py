r"""Generated car-following traffic: the data source that needs no download.

Drivers follow each other on a ring road by the intelligent driver model,

.. math::
    \dot v = a \left[1 - (v/v_0)^4 - (s^*/s)^2\right] + \eta, \qquad
    s^* = s_0 + \max\left(0,\; v T + \frac{v \, \Delta v}{2\sqrt{a b}}\right),

with speed :math:`v`, gap :math:`s` to the leader, and closing speed :math:`\Delta v`. Drivers differ:
:math:`v_0` is normal, :math:`T, a, b` are lognormal. What is recorded carries sensor noise. The task and
its 12 features are those of ``car_following``, so NGSIM US-101 can take this source's place.

The equation is Treiber, Hennecke and Helbing, "Congested traffic states in empirical observations and
microscopic simulations", Phys. Rev. E 62, 2000; so are the exponent 4, the vehicle length, :math:`s_0` and the
medians of :math:`T, a, b` (their table I). Ours are the spreads, the warm-up, and :math:`\eta`, an
Ornstein-Uhlenbeck process (a driver who presses the pedal a little too much does so for a second, not for one
frame). They were chosen so that stop-and-go waves form and one driver's few rows do not suffice to learn the
task: over seeds 1 to 8 the majority class has .65 of the test rows, a federated backbone 12-32-32 with private
heads reaches .70, and the same network trained by each driver alone .62. (A table over the best feature, which
pools all rows, has .77, and the network with a federated head .78: a private head sees 39 rows.)
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core import rng as randomness
from eafl_flower.core.settings import Range, check_settings
from eafl_flower.data.holders import Holders
from eafl_flower.data.sets import car_following
from eafl_flower.data.source import InMemorySource
from eafl_flower.data.splits import client_counts, seen_and_unseen, seen_part, unseen_part
from eafl_flower.errors import ConfigError

TEST_SHARE = 0.3
MIN_ROWS = 16
_STEP_S = 1.0 / car_following.FRAMES_PER_S
_GAP_ROWS = car_following.GAP_FRAMES // car_following.FRAMES_PER_S


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Drivers, road and sensors. ``*_spread`` is the standard deviation of the natural logarithm."""

    desired_speed_m_s: float = 25.0
    desired_speed_sd_m_s: float = 4.0
    time_headway_s: float = 1.6
    time_headway_spread: float = 0.2
    acceleration_m_s2: float = 0.73
    acceleration_spread: float = 0.2
    deceleration_m_s2: float = 1.67
    deceleration_spread: float = 0.2
    standstill_gap_m: float = 2.0
    vehicle_length_m: float = 5.0
    road_per_vehicle_m: float = 22.0
    acceleration_noise_m_s2: float = 0.3
    acceleration_noise_time_s: float = 1.0
    hardest_braking_m_s2: float = 8.0
    speed_noise_m_s: float = 0.15
    headway_noise_m: float = 0.3
    warm_up_s: float = 300.0


def simulate(
    rng: np.random.Generator, *, vehicles: int, frames: int, traffic: Traffic | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Simulate a ring road after a warm-up and return what the sensors recorded, 10 frames a second.

    Parameters
    ----------
    rng
        Source of drivers and noise.
    vehicles, frames
        Number of vehicles and of recorded frames.
    traffic
        Drivers, road and sensors.

    Returns
    -------
    tuple
        Speeds [m/s] and headways, front to front [m], each ``(vehicles, frames)``.
    """
    t = traffic or Traffic()

    def lognormal(median: float, spread: float) -> NDArray[np.float64]:
        return median * np.exp(spread * rng.standard_normal(vehicles))

    desired = np.maximum(rng.normal(t.desired_speed_m_s, t.desired_speed_sd_m_s, vehicles), t.desired_speed_m_s / 2)
    headway_time = lognormal(t.time_headway_s, t.time_headway_spread)
    acceleration = lognormal(t.acceleration_m_s2, t.acceleration_spread)
    deceleration = lognormal(t.deceleration_m_s2, t.deceleration_spread)
    braking = 2.0 * np.sqrt(acceleration * deceleration)

    # Vehicle i follows i - 1. Only speeds and headways are kept: positions would lose digits on a long ring.
    speed = np.full(vehicles, (t.road_per_vehicle_m - t.vehicle_length_m - t.standstill_gap_m) / t.time_headway_s)
    headway = np.full(vehicles, t.road_per_vehicle_m)
    noise = np.zeros(vehicles)
    kept = np.exp(-_STEP_S / t.acceleration_noise_time_s)
    fresh = t.acceleration_noise_m_s2 * np.sqrt(1.0 - kept**2)
    warm_up = round(t.warm_up_s / _STEP_S)
    speeds = np.empty((frames, vehicles), dtype=np.float32)
    headways = np.empty((frames, vehicles), dtype=np.float32)
    for frame in range(-warm_up, frames):
        if frame >= 0:
            speeds[frame], headways[frame] = speed, headway
        leader_speed = np.roll(speed, 1)
        gap = np.maximum(headway - t.vehicle_length_m, 0.1)
        wanted = t.standstill_gap_m + np.maximum(0.0, speed * headway_time + speed * (speed - leader_speed) / braking)
        noise = kept * noise + fresh * rng.standard_normal(vehicles)
        change = acceleration * (1.0 - (speed / desired) ** 4 - (wanted / gap) ** 2) + noise
        new_speed = np.maximum(speed + _STEP_S * np.maximum(change, -t.hardest_braking_m_s2), 0.0)
        moved = 0.5 * _STEP_S * (speed + new_speed)
        headway = headway + np.roll(moved, 1) - moved
        speed = new_speed
    speeds += t.speed_noise_m_s * rng.standard_normal(speeds.shape, dtype=np.float32)
    headways += t.headway_noise_m * rng.standard_normal(headways.shape, dtype=np.float32)
    return np.ascontiguousarray(speeds.T), np.ascontiguousarray(headways.T)


@dataclass(frozen=True, kw_only=True)
class IDM:
    """Generated traffic, a client a vehicle: ``simulate_idm_traffic``.

    Parameters
    ----------
    rows_per_client
        Rows of a vehicle, the 6 left out ones included.
    """

    rows_per_client: Annotated[int, Range(16)] = 64

    def __post_init__(self) -> None:
        check_settings(self)

    def make(self, holders: Holders) -> InMemorySource:
        """Load it."""
        return simulate_idm_traffic(rows_per_client=self.rows_per_client, **holders.counts)


def simulate_idm_traffic(
    *, clients: int = 60, unseen: int = 12, rows_per_client: int = 64, seed: int = 1, traffic: Traffic | None = None
) -> InMemorySource:
    """Generate the embedded data set: one client a vehicle, one row a second.

    The last 30 % of a vehicle's time are held out, 6 s before them are used by nobody. All vehicles
    share one ring, so the rows depend on the number of clients; the unseen clients are drawn anywhere on it.

    Parameters
    ----------
    clients, unseen
        Number of vehicles, and how many of them never train.
    rows_per_client
        Rows of a vehicle, the 6 left out ones included.
    seed
        Everything depends on the seed and the arguments alone.
    traffic
        Drivers, road and sensors.

    Raises
    ------
    ConfigError
        If the counts leave nobody to train or no row to train on.
    """
    clients, unseen = client_counts(clients, unseen, if_zero=60)
    if rows_per_client < MIN_ROWS:
        msg = f"data.idm.rows-per-client = {rows_per_client}: expected at least {MIN_ROWS}"
        raise ConfigError(msg)
    num_frames = rows_per_client * car_following.FRAMES_PER_S + car_following.GAP_FRAMES
    rng = randomness.generator(seed, "data", "idm")
    speed, headway = simulate(rng, vehicles=clients, frames=num_frames, traffic=traffic)
    frames = car_following.row_frames(num_frames)
    x = car_following.features(speed, headway, frames)
    y = car_following.labels(speed, frames)
    num_seen = clients - unseen
    order = seen_and_unseen(clients, clients=clients, unseen=unseen, rng=rng)
    parts = [
        seen_part(x[vehicle], y[vehicle], test_share=TEST_SHARE, gap=_GAP_ROWS)
        if client < num_seen
        else unseen_part(x[vehicle], y[vehicle], gap=_GAP_ROWS)
        for client, vehicle in enumerate(order)
    ]
    return InMemorySource.scaled(
        parts,
        name="idm",
        class_names=car_following.CLASS_NAMES,
        feature_names=car_following.FEATURE_NAMES,
        num_seen=num_seen,
    )
