"""Drops of users and access points for tests."""

import numpy as np

from eafl_flower.power.uploads import Uploads
from eafl_flower.radio.cell_free import Uplink, assign_pilots, uplink_gains
from eafl_flower.radio.geometry import (
    Area,
    PathLoss,
    access_points,
    distances_m,
    draw_shadowing_db,
    large_scale_fading,
    user_positions,
)


def gains_of_drops(num_drops, num_users, seed=0):
    rng, area, path_loss, drops = np.random.default_rng(seed), Area(), PathLoss(), (num_drops,)
    aps_m, users_m = access_points(area, rng, drops), user_positions(area, num_users, rng, drops)
    distance_m = distances_m(area, users_m, aps_m)
    fading = large_scale_fading(path_loss, distance_m, draw_shadowing_db(path_loss, distance_m.shape, rng))
    return uplink_gains(fading, assign_pilots(fading, 10, rng), Uplink())


def uploads_of_drops(num_drops, num_users, seed=0, *, payload_bits=1e6, computation_s=0.0):
    gains = gains_of_drops(num_drops, num_users, seed)
    return Uploads(gains=gains, payload_bits=payload_bits, computation_s=computation_s)
