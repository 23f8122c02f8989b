"""Alignment as a task: a client's rows hold the access point's latents and its own, and it answers with messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.learner import SCORES, AlignmentLearner, EvaluationData
from eafl_flower.alignment.packing import as_floats, pack
from eafl_flower.alignment.reader import fit_reader
from eafl_flower.alignment.settings import Regularizer
from eafl_flower.alignment.user import User, statistics_of
from eafl_flower.alignment.whitening import fit_whitening, no_whitening
from eafl_flower.core.rng import generator
from eafl_flower.core.scores import Score
from eafl_flower.core.settings import CountFromOne, Positive, Range, check_settings
from eafl_flower.errors import ConfigError, DataError, ProtocolError
from eafl_flower.radio.mimo import MOST_DB, NoiseConvention, complex_normal, noise_std, user_channel
from eafl_flower.tasks.training import Training
from eafl_flower.types import Array, Arrays, Rows


@dataclass(frozen=True, kw_only=True)
class OverMIMO:
    r"""A user behind a MIMO channel that both sides know, by its settings.

    Parameters
    ----------
    channel_uses
        Uses :math:`K` of the channel for a latent.
    transmit_antennas, receive_antennas
        :math:`N_T` of the access point, :math:`N_R` of each user.
    snr_db
        Signal-to-noise ratio [dB].
    noise
        What the noise is for that: see ``radio.mimo.noise_std``.
    entry_variance
        Of the entries of a channel; 0.5 in the released code, 1 in textbooks.
    regularizer
        Of the equalizer: see ``alignment.settings``.
    white
        Whether users whiten their latents, so that their statistics stay with them.
    precision
        What complex numbers travel as: two of these.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    channel_uses: CountFromOne = 4
    transmit_antennas: CountFromOne = 4
    receive_antennas: CountFromOne = 4
    snr_db: Annotated[float, Range(-MOST_DB, MOST_DB)] = 20.0
    noise: NoiseConvention = "code"
    entry_variance: Positive = 0.5
    regularizer: Regularizer = "identity"
    white: bool = True
    precision: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        check_settings(self)

    def make(self, training: Training) -> "AlignmentTask":
        """Return the task for an access point with so many features."""
        return AlignmentTask(**vars(self), num_features=training.num_features, num_classes=training.num_classes)


@dataclass(frozen=True, kw_only=True)
class AlignmentTask(OverMIMO):
    r"""Answers with :math:`M^H M` and :math:`M^H R` to a precoder :math:`F`, and judges what arrives; trains no model.

    A row holds the latent of one datum by the access point, then that by the user; labels are for the user's
    classifier, a linear one in closed form. Training rows are the pilots. A user's channel is a function of (seed,
    client), as is the noise.

    Parameters
    ----------
    num_features
        Real dimensions :math:`m_r` of the access point: the first columns of a row.
    num_classes
        Number of classes.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    num_features: int
    num_classes: int
    _learners: dict[tuple[int, int], AlignmentLearner] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def scores(self) -> tuple[Score, ...]:
        """Right classes, error of the received latents, and the user's part of the objective."""
        return SCORES

    @property
    def batch_size(self) -> int:
        """There are no batches."""
        return 1

    @property
    def num_shared(self) -> int:
        """The precoder is all there is."""
        return 1

    @property
    def num_backbone(self) -> int:
        """The precoder is all there is."""
        return 1

    def init(self, rng: np.random.Generator) -> Arrays:
        r"""Return :math:`F^0` of entries :math:`\mathcal{CN}(0, 1)` as floats ``(2, K N_T, m)``."""
        shape = self.channel_uses * self.transmit_antennas, (self.num_features + 1) // 2
        return (as_floats(complex_normal(shape, 1.0, rng), self.precision),)

    def answer(
        self, arrays: Arrays, rows: Rows, *, seed: int, client: int
    ) -> tuple[Mapping[str, Array], Mapping[str, float]]:
        """Return the two matrices by name, and what is reported.

        Raises
        ------
        DataError
            If rows hold no latents of the user.
        """
        message, reported, _ = self._learner(rows, seed, client).answer(arrays)
        return message, reported

    def judge(self, arrays: Arrays, rows: Rows, *, seed: int, client: int) -> tuple[float, Mapping[str, float]]:
        """Return the user's part of the objective and its scores, with an equalizer fitted to what it is sent.

        Raises
        ------
        DataError
            As ``answer``.
        """
        learner = self._learner(rows, seed, client)
        loss, _, scores = learner.judge(arrays, generator(seed, "noise", client))
        return loss, scores

    def _learner(self, rows: Rows, seed: int, client: int) -> AlignmentLearner:
        if (seed, client) not in self._learners:
            self._learners[seed, client] = self._made(rows, seed, client)
        return self._learners[seed, client]

    def _made(self, rows: Rows, seed: int, client: int) -> AlignmentLearner:
        width = rows.x_train.shape[1]
        if width <= self.num_features:
            msg = f"client {client} has rows of {width} columns: expected the {self.num_features} of the access point"
            raise DataError(f"{msg} and behind them its own latents")
        sent, own = (part.T.astype(np.float64) for part in np.split(rows.x_train, [self.num_features], axis=1))
        tests_sent, tests_own = (
            part.T.astype(np.float64) for part in np.split(rows.x_test, [self.num_features], axis=1)
        )
        towards = fit_whitening(pack(sent))
        packed = pack(own)
        whitening = fit_whitening(packed) if self.white else no_whitening(len(packed))
        antennas = {"num_receive": self.receive_antennas, "num_transmit": self.transmit_antennas}
        user = User(
            channel=user_channel(seed, client, entry_variance=self.entry_variance, **antennas),
            noise_std=noise_std(self.snr_db, channel_uses=self.channel_uses, convention=self.noise, **antennas),
            known=statistics_of(whitening.apply(packed), towards.apply(pack(sent))),
            regularizer=self.regularizer,
        )
        tests = EvaluationData(
            latents=tests_own,
            labels=rows.y_test,
            classify=fit_reader(own, rows.y_train, self.num_classes),
            sent=towards.apply(pack(tests_sent)),
        )
        return AlignmentLearner(user=user, whitening=whitening, size=len(own), tests=tests)

    # What there is none of.

    def personalise(self, model: Arrays, rows: Rows, rng: np.random.Generator, *, client: int) -> Arrays:
        """Return the model as it is: there are no heads."""
        return model

    def check_head(self, head: Arrays) -> None:
        """Raise ``ProtocolError`` if there is a head."""
        if head:
            raise ProtocolError(f"the state of the client has a head of {len(head)} arrays: an alignment has none")

    def train(
        self,
        arrays: Arrays,
        rows: Rows,
        rng: np.random.Generator,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        first_trained: int = 0,
    ) -> NoReturn:
        """Raise ``ConfigError``: users answer."""
        _refuse("trains no model")

    def evaluate(self, arrays: Arrays, rows: Rows) -> NoReturn:
        """Raise ``ConfigError``: users judge."""
        _refuse("is judged over each user's channel")

    def predict(self, arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raise ``ConfigError``: there is no model that predicts."""
        _refuse("has no model that predicts")


def _refuse(why: str) -> NoReturn:
    raise ConfigError(
        f'task.name = "alignment" {why}: its clients answer with messages, for strategy.name = "alignment"'
    )
