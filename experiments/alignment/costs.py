r"""Bytes of messages and complex multiplications, counted from shapes: shared or private, pilots or their sums.

With N users, K uses, antennas :math:`N_T` and :math:`N_R`, complex dimensions m at the access point and d at a user,
and n pilots. A complex number travels as two float32. Additions are not counted, Gaussian elimination of q unknowns as
:math:`q^3 / 3` with :math:`q^2` for each right side.
"""

from dataclasses import dataclass
from typing import Final

from eafl_flower.alignment.settings import Exchange, Links

COMPLEX_BYTES: Final = 8


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How large an alignment is: ``own`` are the users' complex dimensions."""

    uses: int
    antennas: int
    dimensions: int
    own: tuple[int, ...]
    num_pilots: int
    rounds: int = 30

    @property
    def symbols(self) -> int:
        """Symbols of a latent, at the access point as at a user."""
        return self.uses * self.antennas

    @property
    def num_users(self) -> int:
        """Number of users."""
        return len(self.own)


def downlink_bytes(shape: Shape, links: Links, exchange: Exchange) -> int:
    """Return what the access point emits in a round: one broadcast, or one message for each user."""
    columns = shape.num_pilots if exchange == "pilots" else shape.dimensions
    messages = 1 if links == "shared" else shape.num_users
    return COMPLEX_BYTES * messages * shape.symbols * columns


def uplink_bytes(shape: Shape, exchange: Exchange) -> int:
    """Return what all users send in a round."""
    columns = shape.num_pilots if exchange == "pilots" else shape.dimensions
    return COMPLEX_BYTES * shape.num_users * shape.symbols * (shape.symbols + columns)


def before_bytes(shape: Shape, exchange: Exchange) -> int:
    """Return what is sent once before the rounds: the white pilots X to everybody, where users work on sums."""
    return 0 if exchange == "pilots" else COMPLEX_BYTES * shape.dimensions * shape.num_pilots


def user_round_macs(shape: Shape, own: int, exchange: Exchange) -> int:
    """Return the complex multiplications of one user of so many complex dimensions in a round."""
    q, n = shape.symbols, shape.num_pilots
    columns = n if exchange == "pilots" else shape.dimensions
    hears = 0 if exchange == "pilots" else q * shape.antennas * shape.dimensions
    sums = q * q * columns + q * columns * own
    equalizer = q**3 // 3 + q * q * own
    answer = own * q * shape.antennas + q * q * own + q * own * columns
    return hears + sums + equalizer + answer


def access_point_round_macs(shape: Shape, links: Links, exchange: Exchange) -> int:
    """Return the complex multiplications of the access point in a round, for all users."""
    q, m, n, users = shape.symbols, shape.dimensions, shape.num_pilots, shape.num_users
    solves = users * (q**3 // 3 + q * q * m)
    if exchange == "statistics":
        return solves
    sends = (1 if links == "shared" else users) * q * m * n
    return solves + sends + users * q * n * m


def access_point_image_macs(shape: Shape, links: Links) -> int:
    """Return the complex multiplications of an image at the access point, its whitening merged into the precoder."""
    return (1 if links == "shared" else shape.num_users) * shape.symbols * shape.dimensions


def user_image_macs(shape: Shape, own: int) -> int:
    """Return the complex multiplications of an image at a user, its equalizer and what undoes its whitening merged."""
    return own * shape.symbols


def image_uses(shape: Shape, links: Links) -> int:
    """Return the channel uses of an image until all users have it."""
    return shape.uses * (1 if links == "shared" else shape.num_users)
