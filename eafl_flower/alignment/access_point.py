r"""The access point: the precoders, and what it makes of the users' answers.

Shared, with one precoder for all (``"average"``):

.. math:: F = \frac{1}{N} \sum_k F_k, \qquad Z = \Pi_P(F + U), \qquad U \leftarrow U + F - Z

``"joint"`` puts the means of all :math:`M_k^H M_k` and :math:`M_k^H R_k` into the step of one user, which is the exact
minimiser; ``"consensus"`` has a dual for each user,
:math:`Z = \Pi_P(\frac{1}{N} \sum_k (F_k + U_k))`, :math:`U_k \leftarrow U_k + F_k - Z`, and sends :math:`Z`.
``"multi-link"`` has a precoder, a copy and a dual for each user, and nothing in common.

The last answer of each user is kept. Those who miss a round count with it, and answers may come one at a time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.settings import Alignment
from eafl_flower.alignment.steps import onto_budget, pilot_covariance, solve_for_precoder
from eafl_flower.alignment.user import Answer
from eafl_flower.errors import ConfigError, DataError, UpdateRefusedError
from eafl_flower.radio.mimo import complex_normal, through

Complex = NDArray[np.complex128]
EVERYBODY = -1
"""Key of what is shared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class AccessPointState:
    r"""What changes over the rounds, by user, or under `EVERYBODY` where it is shared.

    Parameters
    ----------
    precoders, copies, duals
        :math:`F`, :math:`Z` and :math:`U`, each ``(K N_T, m)``.
    answers
        The last answer of each user, its second message reduced to :math:`M_k^H R_k`, ``(K N_T, m)``.
    round
        Number of merges.
    primal_residual, dual_residual
        :math:`\|F - Z\|_F` and :math:`\rho \|Z - Z_{before}\|_F` of the last merge, the largest over links; of a
        consensus the root of the mean square of :math:`\|F_k - Z\|_F` over users. None before the first.
    """

    precoders: Mapping[int, Complex]
    copies: Mapping[int, Complex]
    duals: Mapping[int, Complex]
    answers: Mapping[int, Answer] = field(default_factory=dict)
    round: int = 0
    primal_residual: float | None = None
    dual_residual: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class AccessPoint:
    r"""What stays: settings, and what the access point's own pilots are like.

    Parameters
    ----------
    settings
        The alignment's.
    num_transmit
        Antennas :math:`N_T`.
    num_pilots, dimensions
        :math:`n` and :math:`m`.
    covariance
        :math:`W = X X^H / (n-1)`, ``(m, m)``; None: the pilots are white.
    snr_db
        Least signal-to-noise ratio of the users [dB], on which a penalty ``"auto"`` depends.

    Raises
    ------
    ConfigError
        If there are no antennas, or a penalty depends on a ratio that is not given.
    DataError
        If there are fewer than two pilots, or their covariance is of other dimensions.
    """

    settings: Alignment
    num_transmit: int
    num_pilots: int
    dimensions: int
    covariance: Complex | None = None
    snr_db: float | None = None

    def __post_init__(self) -> None:
        if self.num_transmit < 1:
            raise ConfigError(f"num_transmit = {self.num_transmit}: expected at least one antenna")
        if self.num_pilots < 2 or self.dimensions < 1:
            raise DataError(f"{self.num_pilots} pilots of {self.dimensions} dimensions: expected two or more pilots")
        square = (self.dimensions, self.dimensions)
        if self.covariance is not None and self.covariance.shape != square:
            raise DataError(f"covariance of the pilots is {self.covariance.shape}: expected {square}")
        self.settings.penalty(self.snr_db)

    @property
    def symbols(self) -> int:
        r"""Symbols :math:`K N_T` of a latent."""
        return self.settings.channel_uses * self.num_transmit

    @property
    def penalty(self) -> float:
        r"""Penalty :math:`\rho' = \rho\,n / (n-1)` of the step of a precoder."""
        return self.settings.penalty(self.snr_db) * self.num_pilots / (self.num_pilots - 1)

    def init(self, rng: np.random.Generator, users: Iterable[int] = ()) -> AccessPointState:
        r"""Return the state before the first round: :math:`F` of entries :math:`\mathcal{CN}(0, 1)`, :math:`Z = U = 0`.

        Parameters
        ----------
        rng
            Generator of :math:`F`.
        users
            Numbers of the users, from 0; those of private links are needed here, or by `joined`.
        """
        state = AccessPointState(precoders={}, copies={}, duals={})
        if self.settings.links == "shared":
            return self._with_link(state, EVERYBODY, rng)
        for user in sorted(users):
            state = self.joined(state, user, rng)
        return state

    def blank(self) -> AccessPointState:
        """Return a state for `core.state.restore` to take the types of a stored one from."""
        none = np.zeros((0, 0), np.complex128)
        of_all = {EVERYBODY: none}
        return AccessPointState(
            precoders=of_all, copies=of_all, duals=of_all, answers={0: Answer(gram=none, cross=none)}
        )

    def joined(self, state: AccessPointState, user: int, rng: np.random.Generator) -> AccessPointState:
        """Return the state with a user more; only private links have to be told.

        Raises
        ------
        ConfigError
            If the number of the user is negative.
        """
        if user < 0:
            raise ConfigError(f"user {user}: expected a number of at least 0")
        if self.settings.links == "shared" or user in state.precoders:
            return state
        return self._with_link(state, user, rng)

    def precoder(self, state: AccessPointState, user: int) -> Complex:
        r"""Return :math:`F` for the next round, ``(K N_T, m)``: the broadcast of a shared link, or the user's own."""
        return self._of(state.precoders, user)

    def deployed(self, state: AccessPointState, user: int) -> Complex:
        r"""Return what sends latents after training, ``(K N_T, m)``: :math:`Z`, or :math:`F` if ``"F_stale"``."""
        stale = self.settings.deploy == "F_stale"
        return self._of(state.precoders if stale else state.copies, user)

    def reduced(self, answer: Answer, white: Complex) -> Answer:
        r"""Return an answer of an exchange of pilots with :math:`M_k^H R_k = M_k^H S_k X^H / (n-1)` in it.

        Parameters
        ----------
        answer
            With :math:`M_k^H S_k`, ``(K N_T, n)``.
        white
            The access point's :math:`X`, ``(m, n)``.

        Raises
        ------
        UpdateRefusedError
            If it is not of as many pilots.
        """
        if answer.cross.ndim != 2 or answer.cross.shape[1] != white.shape[1]:
            expected = self.symbols, white.shape[1]
            msg = f"second message is {answer.cross.shape}: expected {expected}, one column a pilot"
            raise UpdateRefusedError(msg)
        return replace(answer, cross=answer.cross @ white.conj().T / (white.shape[1] - 1))

    def merged(
        self, state: AccessPointState, answers: Mapping[int, Answer], *, keep_missing: bool = True
    ) -> AccessPointState:
        """Return the state after one iteration, of a whole round's answers or of a single one.

        The order of the answers does not matter. Private links move on where there is an answer.

        Parameters
        ----------
        state
            The one before.
        answers
            By number of the user, `reduced` if they are of an exchange of pilots.
        keep_missing
            Whether users who did not answer count with their last answer, or not at all.

        Raises
        ------
        UpdateRefusedError
            If there is no answer, or one has another shape, values that are not finite, or an unknown private link.
        """
        if not answers:
            raise UpdateRefusedError("no user has answered: expected one answer or more")
        for user, answer in answers.items():
            self._check(state, user, answer)
        known = {**state.answers, **answers} if keep_missing else dict(answers)
        state = replace(state, answers=dict(sorted(known.items())), round=state.round + 1)
        if self.settings.links == "multi-link":
            return self._private(state, sorted(answers))
        return self._consensus(state) if self.settings.aggregation == "consensus" else self._shared(state)

    def _shared(self, state: AccessPointState) -> AccessPointState:
        copy, dual = state.copies[EVERYBODY], state.duals[EVERYBODY]
        gram, cross = _stacked(state.answers.values())
        if self.settings.aggregation == "joint":
            gram, cross = gram.mean(axis=0, keepdims=True), cross.mean(axis=0, keepdims=True)
        precoder = self._minimisers(gram, cross, copy - dual).mean(axis=0)
        return self._moved(state, {EVERYBODY: precoder})

    def _private(self, state: AccessPointState, users: list[int]) -> AccessPointState:
        gram, cross = _stacked(state.answers[user] for user in users)
        target = np.stack([state.copies[user] - state.duals[user] for user in users])
        found = self._minimisers(gram, cross, target)
        return self._moved(state, dict(zip(users, found, strict=True)))

    def _moved(self, state: AccessPointState, precoders: dict[int, Complex]) -> AccessPointState:
        copies, duals, primal, dual = dict(state.copies), dict(state.duals), 0.0, 0.0
        for link, precoder in precoders.items():
            copies[link] = onto_budget(precoder + duals[link], self.settings.power)
            duals[link] = duals[link] + precoder - copies[link]
            primal = max(primal, float(np.linalg.norm(precoder - copies[link])))
            dual = max(dual, float(np.linalg.norm(copies[link] - state.copies[link])))
        return replace(
            state,
            precoders={**state.precoders, **precoders},
            copies=copies,
            duals=duals,
            primal_residual=primal,
            dual_residual=self.settings.penalty(self.snr_db) * dual,
        )

    def _consensus(self, state: AccessPointState) -> AccessPointState:
        copy, users = state.copies[EVERYBODY], list(state.answers)
        duals = np.stack([state.duals.get(user, np.zeros_like(copy)) for user in users])
        found = self._minimisers(*_stacked(state.answers.values()), copy - duals)
        agreed = onto_budget((found + duals).mean(axis=0), self.settings.power)
        duals = duals + found - agreed
        return replace(
            state,
            precoders={EVERYBODY: agreed},
            copies={EVERYBODY: agreed},
            duals={**state.duals, **dict(zip(users, duals, strict=True))},
            primal_residual=float(np.linalg.norm(found - agreed) / np.sqrt(len(users))),
            dual_residual=self.settings.penalty(self.snr_db) * float(np.linalg.norm(agreed - copy)),
        )

    def _minimisers(self, gram: Complex, cross: Complex, target: Complex) -> Complex:
        return solve_for_precoder(gram, cross, target, self.penalty, self.covariance)

    def _with_link(self, state: AccessPointState, link: int, rng: np.random.Generator) -> AccessPointState:
        shape = (self.symbols, self.dimensions)
        return replace(
            state,
            precoders={**state.precoders, link: complex_normal(shape, 1.0, rng)},
            copies={**state.copies, link: np.zeros(shape, np.complex128)},
            duals={**state.duals, link: np.zeros(shape, np.complex128)},
        )

    def _of(self, links: Mapping[int, Complex], user: int) -> Complex:
        key = EVERYBODY if self.settings.links == "shared" else user
        if key not in links:
            raise ConfigError(f"user {user} has no link: let it join first")
        return links[key]

    def _check(self, state: AccessPointState, user: int, answer: Answer) -> None:
        expected = (self.symbols, self.symbols), (self.symbols, self.dimensions)
        if (answer.gram.shape, answer.cross.shape) != expected:
            msg = f"answer of user {user} is {answer.gram.shape} and {answer.cross.shape}: expected {expected}"
            raise UpdateRefusedError(msg)
        if not (np.isfinite(answer.gram).all() and np.isfinite(answer.cross).all()):
            raise UpdateRefusedError(f"answer of user {user} has values that are not finite")
        if user < 0 or (self.settings.links == "multi-link" and user not in state.precoders):
            raise UpdateRefusedError(f"user {user} has no link: let it join first")


def access_point(settings: Alignment, white: Complex, num_transmit: int, snr_db: float | None = None) -> AccessPoint:
    r"""Return the access point with pilots ``white`` :math:`X`, ``(m, n)``; the rest as `AccessPoint`."""
    if white.ndim != 2 or white.shape[1] < 2 or not np.isfinite(white).all():
        raise DataError(
            f"the access point's pilots are {white.shape}: expected a finite matrix (m, n), two or more pilots"
        )
    dimensions, num_pilots = white.shape
    return AccessPoint(
        settings=settings,
        num_transmit=num_transmit,
        num_pilots=num_pilots,
        dimensions=dimensions,
        covariance=pilot_covariance(white),
        snr_db=snr_db,
    )


def sent_pilots(precoder: Complex, white: Complex, channel: Complex) -> Complex:
    r"""Return :math:`A_k = (I_K \otimes H_k) F X`, what a user hears of the pilots, ``(K N_R, n)``."""
    return through(channel, precoder @ white)


def _stacked(answers: Iterable[Answer]) -> tuple[Complex, Complex]:
    known = tuple(answers)
    return np.stack([answer.gram for answer in known]), np.stack([answer.cross for answer in known])
