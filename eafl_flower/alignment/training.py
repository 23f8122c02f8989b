r"""Whole trainings from sufficient statistics, all users at once, at a cost that depends on nobody's latents.

What a user answers can be had without its equalizer. With :math:`B_k = (I_K \otimes H_k) F`, :math:`c = (n-1)/n`,
:math:`T_k = R_k^H R_k`, which does not change over the rounds, and

.. math:: E_k = c\,(I_K \otimes H_k)^H (c B_k W B_k^H + \sigma^2 I)^{-1} B_k

it is :math:`M_k = R_k E_k^H`, and so

.. math:: M_k^H M_k = E_k T_k E_k^H, \qquad M_k^H R_k = E_k T_k

An access point that knows the channels could train alone, had each user sent it :math:`T_k`, ``(m, m)``, once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.access_point import AccessPoint, AccessPointState
from eafl_flower.alignment.settings import Regularizer
from eafl_flower.alignment.steps import solve_for_equalizer
from eafl_flower.alignment.user import Answer, Statistics, User
from eafl_flower.errors import ConfigError
from eafl_flower.radio.mimo import through

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Users:
    r"""Users with equal antennas, in one array each; user k is number k.

    Parameters
    ----------
    channels
        :math:`H_k`, ``(num_users, num_receive, num_transmit)``.
    noise_std
        :math:`\sigma_k`, ``(num_users,)``.
    products
        :math:`T_k = R_k^H R_k`, ``(num_users, m, m)``.
    regularizer
        See `settings.Alignment`.
    """

    channels: Complex
    noise_std: Real
    products: Complex
    regularizer: Regularizer = "identity"

    def answers(self, access_point: AccessPoint, state: AccessPointState) -> dict[int, Answer]:
        """Return what all of them send in the next round, in an exchange of statistics."""
        if access_point.settings.links == "shared":
            precoders = access_point.precoder(state, 0)[None]
        else:
            precoders = np.stack([access_point.precoder(state, user) for user in range(len(self.channels))])
        share = (access_point.num_pilots - 1) / access_point.num_pilots
        heard = through(self.channels, precoders)
        weighted = heard if access_point.covariance is None else heard @ access_point.covariance
        gram = share * (weighted @ _adjoint(heard))
        solved = solve_for_equalizer(gram, heard, self.noise_std, self.regularizer)
        back = share * through(_adjoint(self.channels), solved)
        cross = back @ self.products
        gram = cross @ _adjoint(back)
        return {user: Answer(gram=gram[user], cross=cross[user]) for user in range(len(self.channels))}


def users_at_once(users: Sequence[User]) -> Users:
    """Return users with `Statistics` in one array each.

    Raises
    ------
    ConfigError
        If there are none, they have no statistics, or differ in antennas or regularizers.
    """
    known = [user.known for user in users if isinstance(user.known, Statistics)]
    alike = {(user.channel.shape, user.regularizer) for user in users}
    if len(known) != len(users) or len(alike) != 1:
        msg = "users at once: expected one user or more, all with Statistics and equal antennas and regularizers"
        raise ConfigError(msg)
    return Users(
        channels=np.stack([user.channel for user in users]),
        noise_std=np.array([user.noise_std for user in users]),
        products=np.stack([one.latents.conj().T @ one.latents for one in known]),
        regularizer=users[0].regularizer,
    )


def train(
    access_point: AccessPoint,
    users: Users,
    state: AccessPointState,
    rounds: int = 30,
    seen: Callable[[AccessPointState], None] = lambda state: None,
) -> AccessPointState:
    """Return the state after ``rounds`` rounds in which all users answer.

    Parameters
    ----------
    access_point, users, state
        Who takes part, and where they are; `AccessPoint.init` gives the first state.
    rounds
        How many; 30 in the released code.
    seen
        Is given each state, after its round.

    Raises
    ------
    ConfigError
        If the number of rounds is negative.
    """
    if rounds < 0:
        raise ConfigError(f"rounds = {rounds}: expected a number of at least 0")
    for _ in range(rounds):
        state = access_point.merged(state, users.answers(access_point, state))
        seen(state)
    return state


def _adjoint(matrix: Complex) -> Complex:
    return np.swapaxes(matrix, -1, -2).conj()
