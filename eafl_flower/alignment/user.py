r"""A user: what it makes of the pilots that it hears, and what it sends back.

In a round it hears :math:`A_k = (I_K \otimes H_k) F X`, or, of what was summed over pilots,
:math:`B_k = (I_K \otimes H_k) F`. It fits its equalizer,

.. math:: G_k = S_k A_k^H (A_k A_k^H + n \sigma^2 I)^{-1}, \qquad M_k = G_k (I_K \otimes H_k)

and answers with :math:`M_k^H M_k` and :math:`M_k^H S_k`, or :math:`M_k^H R_k`. Latents and equalizers stay with it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.settings import Regularizer, check_regularizer
from eafl_flower.alignment.steps import pilot_covariance, solve_for_equalizer
from eafl_flower.errors import ConfigError, DataError, ProtocolError
from eafl_flower.radio.mimo import behind, through

Complex = NDArray[np.complex128]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    r"""What a user sends in a round.

    Parameters
    ----------
    gram
        :math:`M_k^H M_k`, ``(K N_T, K N_T)``.
    cross
        :math:`M_k^H S_k`, ``(K N_T, n)``, in an exchange of pilots; :math:`M_k^H R_k`, ``(K N_T, m)``, of statistics.
    """

    gram: Complex
    cross: Complex


class Known(Protocol):
    """What a user knows of the pilots; its sums over what it hears are divided by their number."""

    @property
    def num_pilots(self) -> int:
        """Number of pilots."""
        ...

    @property
    def energy(self) -> float:
        r"""Mean energy :math:`\|S\|_F^2 / n`."""
        ...

    @property
    def columns(self) -> int:
        """Columns of what it hears in a round."""
        ...

    @property
    def latents(self) -> Complex:
        r"""What the second message is made of: :math:`S` or :math:`R`."""
        ...

    def sums(self, received: Complex) -> tuple[Complex, Complex]:
        r"""Return :math:`A A^H / n` and :math:`A S^H / n`."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Pilots:
    r"""The user's own latents of the pilots.

    Parameters
    ----------
    latents
        :math:`S`, packed, and white if they are to stay private, ``(d, n)``.
    """

    latents: Complex

    def __post_init__(self) -> None:
        _check_matrix(self.latents, "latents of the pilots")

    @property
    def num_pilots(self) -> int:
        """Number of pilots."""
        return int(self.latents.shape[1])

    @property
    def columns(self) -> int:
        """Columns of what is heard: the pilots."""
        return self.num_pilots

    @property
    def energy(self) -> float:
        r"""Mean energy :math:`\|S\|_F^2 / n`."""
        return float(np.linalg.norm(self.latents) ** 2) / self.num_pilots

    def sums(self, received: Complex) -> tuple[Complex, Complex]:
        r"""Return :math:`A A^H / n` and :math:`A S^H / n`."""
        n = self.num_pilots
        return received @ received.conj().T / n, received @ self.latents.conj().T / n


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    r"""What the pilots' latents of both sides sum up to.

    Parameters
    ----------
    latents
        :math:`R = S X^H / (n-1)`, ``(d, m)``.
    covariance
        :math:`W = X X^H / (n-1)`, ``(m, m)``; None: the identity.
    num_pilots
        :math:`n`.
    energy
        :math:`\|S\|_F^2 / n`.
    """

    latents: Complex
    covariance: Complex | None = None
    num_pilots: int
    energy: float

    def __post_init__(self) -> None:
        _check_matrix(self.latents, "statistics of the pilots")
        size = self.latents.shape[1]
        if self.covariance is not None and self.covariance.shape != (size, size):
            raise DataError(f"covariance of the pilots is {self.covariance.shape}: expected ({size}, {size})")
        if self.num_pilots < 2 or not 0 <= self.energy < np.inf:
            raise DataError(f"{self.num_pilots} pilots of energy {self.energy}: expected two or more, a finite energy")

    @property
    def columns(self) -> int:
        """Columns of what is heard: the dimensions of the access point."""
        return int(self.latents.shape[1])

    def sums(self, received: Complex) -> tuple[Complex, Complex]:
        r"""Return :math:`A A^H / n` and :math:`A S^H / n`, of :math:`B` with :math:`A = B X`."""
        share = (self.num_pilots - 1) / self.num_pilots
        weighted = received if self.covariance is None else received @ self.covariance
        return share * (weighted @ received.conj().T), share * (received @ self.latents.conj().T)


def statistics_of(latents: Complex, white: Complex) -> Statistics:
    r"""Return the sums over pilots that both sides have encoded.

    Parameters
    ----------
    latents
        The user's :math:`S`, ``(d, n)``.
    white
        The access point's :math:`X`, ``(m, n)``; column i is of the same datum as column i of ``latents``.

    Raises
    ------
    DataError
        If the pilots are not the same in number, fewer than two, or not finite.
    """
    _check_matrix(latents, "latents of the pilots")
    _check_matrix(white, "the access point's pilots")
    n = latents.shape[1]
    if white.shape[1] != n:
        msg = f"{n} pilots at the user, {white.shape[1]} at the access point: expected the same data in the same order"
        raise DataError(msg)
    if n < 2:
        raise DataError(f"{n} pilots: expected two or more")
    return Statistics(
        latents=latents @ white.conj().T / (n - 1),
        covariance=pilot_covariance(white),
        num_pilots=n,
        energy=float(np.linalg.norm(latents) ** 2) / n,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class User:
    r"""A user with its channel and what it knows of the pilots.

    Parameters
    ----------
    channel
        :math:`H_k` as the user knows it, ``(num_receive, num_transmit)``.
    noise_std
        :math:`\sigma`, by `radio.mimo.noise_std`.
    known
        `Pilots` or `Statistics`.
    regularizer
        See `settings.Alignment`.

    Raises
    ------
    ConfigError
        If the channel is no matrix, the noise negative, or the regularizer unknown.
    """

    channel: Complex
    noise_std: float
    known: Known
    regularizer: Regularizer = "identity"

    def __post_init__(self) -> None:
        if self.channel.ndim != 2 or not self.channel.size or not np.isfinite(self.channel).all():
            raise ConfigError(f"channel is {self.channel.shape}: expected a finite matrix (num_receive, num_transmit)")
        if not (self.noise_std >= 0 and self.noise_std * self.noise_std < np.inf):
            raise ConfigError(f"noise_std = {self.noise_std}: expected a number of at least 0, of a finite square")
        check_regularizer(self.regularizer)

    def hears(self, precoder: Complex) -> Complex:
        r"""Return :math:`(I_K \otimes H_k) F`, what a user of statistics makes of a precoder that is broadcast."""
        return through(self.channel, precoder)

    def equalizer(self, received: Complex) -> Complex:
        r"""Return :math:`G_k`, ``(d, K N_R)``.

        Parameters
        ----------
        received
            :math:`A_k`, ``(K N_R, n)``, for a user with `Pilots`; :math:`B_k`, ``(K N_R, m)``, with `Statistics`.

        Raises
        ------
        ProtocolError
            If it has another shape, or values that are not finite.
        """
        self._check(received)
        gram, cross = self.known.sums(received)
        solved = solve_for_equalizer(gram, cross, self.noise_std, self.regularizer)
        return solved.conj().T

    def answer(self, received: Complex) -> tuple[Complex, Answer]:
        r"""Return the equalizer :math:`G_k`, which the user keeps, and what it sends; arguments as `equalizer`."""
        equalizer = self.equalizer(received)
        combined = behind(equalizer, self.channel)
        adjoint = combined.conj().T
        return equalizer, Answer(gram=adjoint @ combined, cross=adjoint @ self.known.latents)

    def objective(self, equalizer: Complex, received: Complex) -> float:
        r"""Return this user's part of the objective.

        .. math:: J_k = \frac{1}{n} \|S_k - G_k A_k\|_F^2 + \sigma^2 \|G_k\|_F^2
        """
        self._check(received)
        gram, cross = self.known.sums(received)
        fitted = float(np.vdot(equalizer, equalizer @ gram).real) - 2 * float(np.vdot(equalizer, cross.conj().T).real)
        return self.known.energy + fitted + self.noise_std**2 * float(np.linalg.norm(equalizer) ** 2)

    def _check(self, received: Complex) -> None:
        columns, antennas = self.known.columns, self.channel.shape[0]
        if received.ndim != 2 or received.shape[1] != columns or received.shape[0] % antennas or not received.size:
            msg = f"received {received.shape}: expected (uses x {antennas} antennas, {columns}), as the pilots are"
            raise ProtocolError(msg)
        if not np.isfinite(received).all():
            raise ProtocolError("received values that are not finite")


def _check_matrix(values: Complex, what: str) -> None:
    if values.ndim != 2 or not values.size:
        raise DataError(f"{what} are {values.shape}: expected a matrix (dimensions, pilots)")
    if not np.isfinite(values).all():
        raise DataError(f"{what} are not finite: leave out pilots that are not")
