r"""From latitudes and longitudes to metres on a plane: an equirectangular projection about one point.

.. math:: x = N \cos\varphi_0\,(\lambda - \lambda_0), \qquad y = M\,(\varphi - \varphi_0), \qquad
    N = \frac{a}{\sqrt{1 - e^2\sin^2\varphi_0}}, \quad M = \frac{a\,(1 - e^2)}{(1 - e^2\sin^2\varphi_0)^{3/2}}

with both radii of curvature of the ellipsoid WGS84 there, so that metres are true at that latitude; 50 km to the north,
at the latitude of San Francisco, x is 0.6 % too long.
"""

from dataclasses import dataclass

import numpy as np

from eafl_flower.mobility.traces import Array

SEMI_MAJOR_M = 6_378_137.0
_SQUARED_ECCENTRICITY = 6.694379990141e-3


@dataclass(frozen=True, kw_only=True)
class Plane:
    """The plane that touches the Earth at a point, in degrees north and east."""

    latitude: float
    longitude: float

    def metres(self, latitude: Array, longitude: Array) -> tuple[Array, Array]:
        """Return x to the east and y to the north [m].

        Examples
        --------
        >>> [round(float(value)) for value in Plane(latitude=0.0, longitude=0.0).metres(1.0, 1.0)]
        [111319, 110574]
        """
        flattened = 1 - _SQUARED_ECCENTRICITY * np.sin(np.radians(self.latitude)) ** 2
        across_m = SEMI_MAJOR_M / np.sqrt(flattened) * np.cos(np.radians(self.latitude))
        along_m = SEMI_MAJOR_M * (1 - _SQUARED_ECCENTRICITY) / flattened**1.5
        x_m: Array = across_m * np.radians(longitude - self.longitude)
        y_m: Array = along_m * np.radians(latitude - self.latitude)
        return x_m, y_m
