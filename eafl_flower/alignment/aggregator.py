"""The access point as an aggregator: users' answers are messages, a round of them or each when it comes.

Complex arrays travel as floats ``(2, ...)``, real parts before imaginary parts. A user is sent ``precoder``, which is
:math:`F` (``"statistics"``) or the pilots as it hears them, :math:`A_k` (``"pilots"``); it answers with ``gram``, its
:math:`M_k^H M_k`, and ``cross``, its :math:`M_k^H R_k` or :math:`M_k^H S_k`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.aggregation.acceptance import accept_message
from eafl_flower.alignment.access_point import EVERYBODY, AccessPoint, AccessPointState, sent_pilots
from eafl_flower.alignment.packing import as_floats, from_floats
from eafl_flower.alignment.plausible import plausible_gram
from eafl_flower.alignment.settings import Alignment
from eafl_flower.alignment.steps import onto_budget, pilot_covariance
from eafl_flower.alignment.user import Answer
from eafl_flower.core.orders import Order
from eafl_flower.errors import ConfigError, UpdateRefusedError
from eafl_flower.types import Array, Arrays, ArraySpec, Diagnostics, Layout, Merged, Update

Complex = NDArray[np.complex128]
PRECODER: Final = "precoder"
GRAM, CROSS = "gram", "cross"
_LARGEST: Final = 2.0**50  # sums of what is larger lose what the others say


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignmentState:
    r"""What changes over the rounds, as values that a checkpoint holds.

    ``start`` is :math:`F^0`, ``dtype`` that of what travels, ``known`` the arrays of ``AccessPointState`` by
    what they are and whose.
    """

    version: int
    dtype: str
    start: Array
    known: dict[str, Array] = field(default_factory=dict)
    primal_residual: float | None = None
    dual_residual: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignmentAggregator:
    r"""Makes a precoder of what users answer, by one iteration of the ADMM for each round, or for each answer.

    Parameters
    ----------
    settings
        The alignment's; of ``channel_uses`` it needs nothing, for the array to start from has their number.
    num_pilots
        :math:`n`, where ``white`` does not tell. Very many by default, so that :math:`\rho' = \rho`.
    snr_db
        Least signal-to-noise ratio of the users [dB], on which a penalty ``"auto"`` depends.
    synchronous
        Whether it merges rounds. Otherwise each answer makes an iteration, with the last ones of all others.
    keep_missing
        Whether users who miss a round count with their last answer, or not at all.
    white
        The whitened pilots :math:`X`, ``(m, n)``, where rounds carry pilots, or they are not quite white; None: white.
    test
        Latents whitened like the pilots, ``(m, num_test)``, sent behind them to be evaluated where rounds carry pilots.
    channels
        :math:`H_k` of each user where rounds carry pilots.

    Raises
    ------
    ConfigError
        If rounds carry pilots and pilots or channels are not given, or a setting is out of range.
    """

    settings: Alignment = field(default_factory=Alignment)
    num_pilots: int = 2**53
    snr_db: float | None = None
    synchronous: bool = True
    keep_missing: bool = True
    white: Complex | None = None
    test: Complex | None = None
    channels: Sequence[Complex] = ()

    def __post_init__(self) -> None:
        if self.settings.exchange == "pilots" and (self.white is None or not len(self.channels)):
            raise ConfigError('exchange = "pilots" sends each user what it hears: give white and channels')
        for user, channel in enumerate(self.channels):
            if channel.ndim != 2 or not channel.size or not np.isfinite(channel).all():
                raise ConfigError(f"channel of user {user} is {channel.shape}: expected a finite matrix (N_R, N_T)")
        if not self.synchronous and not self.keep_missing:
            raise ConfigError(
                "keep_missing = False: where each answer counts when it comes, all others count with their last one; "
                "leave users out by rounds (synchronous = True)"
            )
        self.settings.penalty(self.snr_db)

    @property
    def pilots(self) -> int:
        """Number of pilots."""
        return self.num_pilots if self.white is None else int(self.white.shape[1])

    @property
    def is_personal(self) -> bool:
        """Whether users are sent arrays of their own: what each hears, or a precoder of its own."""
        return self.settings.exchange == "pilots" or self.settings.links == "multi-link"

    def init(self, arrays: Arrays) -> AlignmentState:
        """Return the state before the first round; ``arrays`` is :math:`F^0` as floats ``(2, K N_T, m)``.

        Raises
        ------
        ConfigError
            If it is anything else.
        """
        shapes = [f"{array.dtype} {array.shape}" for array in arrays]
        if len(arrays) != 1 or arrays[0].ndim != 3 or arrays[0].shape[0] != 2 or arrays[0].dtype.kind != "f":
            raise ConfigError(f"the alignment starts from {', '.join(shapes)}: expected floats (2, K N_T, m) of one F")
        if self.white is not None and arrays[0].shape[2] != len(self.white):
            raise ConfigError(f"F starts as {shapes[0]}: expected {len(self.white)} columns, as the pilots have rows")
        return AlignmentState(version=0, dtype=arrays[0].dtype.name, start=from_floats(arrays[0]))

    def expected(self, state: AlignmentState, order: Order) -> tuple[Sequence[str], Layout]:
        """Return names and layout of an answer."""
        symbols, dimensions = state.start.shape
        columns = self.pilots if self.settings.exchange == "pilots" else dimensions
        shapes = (2, symbols, symbols), (2, symbols, columns)
        return (GRAM, CROSS), tuple(ArraySpec(shape, state.dtype) for shape in shapes)

    def check(self, state: AlignmentState, update: Update) -> None:
        """Raise ``UpdateRefusedError`` if an answer cannot be one; changes nothing."""
        self._answer(state, update)

    def apply(self, state: AlignmentState, updates: Sequence[Update]) -> tuple[AlignmentState, Diagnostics]:
        """Merge one answer or those of a round."""
        answers = {update.client: self._answer(state, update) for update in updates}
        before = self._with_links(state, answers)
        after = self._access_point(state).merged(before, answers, keep_missing=self.keep_missing)
        stored = replace(
            state,
            version=state.version + 1,
            known=_stored(after),
            primal_residual=after.primal_residual,
            dual_residual=after.dual_residual,
        )
        note = self._note(before.answers.keys() - answers.keys(), state.version + 1)
        share = 1 / len(after.answers)
        told = [Merged(staleness=state.version - u.base_version, weight=share, note=note) for u in updates]
        return stored, tuple(told)

    def arrays(self, state: AlignmentState, order: Order | None = None) -> Arrays:
        r"""Return :math:`F`, or without an order what is deployed, as floats ``(2, K N_T, m)``.

        Of private links their mean, which nobody is sent; without an order those of all users who have answered, in
        the order of their numbers, ``(users, 2, K N_T, m)``.
        """
        if self.settings.links == "shared":
            return (as_floats(self._sent(state, EVERYBODY, order), state.dtype),)
        users = sorted(_restored(state).precoders)
        links = [as_floats(self._sent(state, user, order), state.dtype) for user in users]
        if not links:
            return (as_floats(state.start, state.dtype),)
        return (np.stack(links) if order is None else np.mean(links, axis=0),)

    def arrays_of(self, state: AlignmentState, client: int, order: Order | None = None) -> Arrays:
        """Return what a user hears of the pilots, or its own precoder; without an order, of what is deployed.

        Raises
        ------
        ConfigError
            If the channel of this user is not known.
        """
        sent = self._sent(state, client, order)
        if self.settings.exchange == "statistics":
            return (as_floats(sent, state.dtype),)
        assert self.white is not None
        if client >= len(self.channels):
            raise ConfigError(f"user {client} has no channel: channels of {len(self.channels)} users were given")
        latents = self.white if order is not None or self.test is None else np.hstack([self.white, self.test])
        return (as_floats(sent_pilots(sent, latents, self.channels[client]), state.dtype),)

    def deployed(self, state: AlignmentState, user: int) -> Complex:
        """Return what latents are sent with after training, ``(K N_T, m)``."""
        return self._sent(state, EVERYBODY if self.settings.links == "shared" else user, None)

    def _sent(self, state: AlignmentState, user: int, order: Order | None) -> Complex:
        """Return the precoder of a job or, without an order, the deployed one; before the first round there is none."""
        known = self._with_links(state, ())
        shared = self.settings.links == "shared"
        if known.round == 0 or not (shared or user in known.precoders):
            return state.start if order is not None else onto_budget(state.start, self.settings.power)
        access_point = self._access_point(state)
        return access_point.precoder(known, user) if order is not None else access_point.deployed(known, user)

    def _answer(self, state: AlignmentState, update: Update) -> Answer:
        accept_message(update, self.expected(state, update.order)[1], version=state.version)
        if update.client < 0:
            raise UpdateRefusedError(f"update of client {update.client}: expected a number of at least 0")
        for place, floats in enumerate(update.delta):
            if (largest := float(np.abs(floats).max(initial=0.0))) > _LARGEST:
                msg = f"array {place} of client {update.client} has values up to {largest:.3g}, expected none above "
                raise UpdateRefusedError(f"{msg}{_LARGEST:.3g}: no answer has such")
        gram, cross = map(from_floats, update.delta)
        answer = Answer(gram=plausible_gram(gram, f"array 0 of client {update.client}, M^H M,"), cross=cross)
        if self.settings.exchange == "statistics":
            return answer
        assert self.white is not None
        return self._access_point(state).reduced(answer, self.white)

    def _note(self, silent: set[int], number: int) -> str:
        if not (self.synchronous and silent):
            return ""
        listed = ", ".join(map(str, sorted(silent)[:8])) + (" and others" if len(silent) > 8 else "")
        counts = "with their last answers (keep_missing)" if self.keep_missing else "not at all until they answer again"
        return f"users {listed} have answered before, but not in round {number}: they count {counts}"

    def _access_point(self, state: AlignmentState) -> AccessPoint:
        symbols, dimensions = state.start.shape
        return AccessPoint(
            settings=replace(self.settings, channel_uses=symbols),  # only their product with the antennas matters here
            num_transmit=1,
            num_pilots=self.pilots,
            dimensions=dimensions,
            covariance=self._covariance,
            snr_db=self.snr_db,
        )

    @cached_property
    def _covariance(self) -> Complex | None:
        return None if self.white is None else pilot_covariance(self.white)

    def _with_links(self, state: AlignmentState, users: Sequence[int] | dict[int, Answer]) -> AccessPointState:
        """Return the state of the access point, with links of users who are new: all start from the same precoder."""
        known = _restored(state)
        links = [EVERYBODY] if self.settings.links == "shared" else list(users)
        new = [link for link in links if link not in known.copies]
        zeros = np.zeros_like(state.start)
        return replace(
            known,
            precoders={**known.precoders, **dict.fromkeys(new, state.start)},
            copies={**known.copies, **dict.fromkeys(new, zeros)},
            duals={**known.duals, **dict.fromkeys(new, zeros)},
        )


def _stored(state: AccessPointState) -> dict[str, Array]:
    groups = {"precoder": state.precoders, "copy": state.copies, "dual": state.duals}
    links = {f"{name} {user}": array for name, group in groups.items() for user, array in group.items()}
    grams = {f"{GRAM} {user}": answer.gram for user, answer in state.answers.items()}
    return {**links, **grams, **{f"{CROSS} {user}": answer.cross for user, answer in state.answers.items()}}


def _restored(state: AlignmentState) -> AccessPointState:
    groups: dict[str, dict[int, Array]] = {name: {} for name in ("precoder", "copy", "dual", GRAM, CROSS)}
    for key, array in state.known.items():
        name, _, user = key.partition(" ")
        groups[name][int(user)] = array
    answers = {user: Answer(gram=gram, cross=groups[CROSS][user]) for user, gram in groups[GRAM].items()}
    return AccessPointState(
        precoders=groups["precoder"],
        copies=groups["copy"],
        duals=groups["dual"],
        answers=answers,
        round=state.version,
        primal_residual=state.primal_residual,
        dual_residual=state.dual_residual,
    )
