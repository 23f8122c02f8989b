r"""A user as it answers and is judged, with complex arrays as the floats that travel (see ``alignment.aggregator``)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eafl_flower.alignment.aggregator import CROSS, GRAM
from eafl_flower.alignment.packing import as_floats, from_floats
from eafl_flower.alignment.settings import Deployment
from eafl_flower.alignment.transmission import Receiver
from eafl_flower.alignment.user import Pilots, User
from eafl_flower.alignment.whitening import Whitening
from eafl_flower.core.scores import ACCURACY, Score
from eafl_flower.errors import ProtocolError
from eafl_flower.radio.mimo import noisy
from eafl_flower.types import Array, Arrays

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]
Classifier = Callable[[Real], NDArray[np.integer[Any]]]

MSE: Final = Score(name="mse", title="mean squared error of latents", higher_is_better=False, least=0.0)
OBJECTIVE: Final = Score(name="objective", title="objective", higher_is_better=False, weighting="clients")
SCORES: Final = (ACCURACY, MSE, OBJECTIVE)
"""What users report: right classes among test rows, the error of their received latents, and their part J of J."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationData:
    r"""What a user is judged by.

    Parameters
    ----------
    latents
        The user's own encodings of the test data, ``(size, num_test)``.
    labels
        Classes of the test data, ``(num_test,)``; None: the error of the latents is all there is.
    classify
        Returns the classes of real latents ``(size, n)``.
    sent
        The access point's latents of the test data, whitened like its pilots, ``(m, num_test)``: what is on the air
        where a user is sent precoders. Where it is sent what it hears, they come behind the pilots.
    """

    latents: Real
    labels: NDArray[np.integer[Any]] | None = None
    classify: Classifier | None = None
    sent: Complex | None = None

    @property
    def count(self) -> int:
        """Number of test data."""
        return int(self.latents.shape[1])


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignmentLearner:
    r"""Answers with two matrices, and judges what it receives. Latents, classifier and equalizer stay here.

    Parameters
    ----------
    user
        Channel, noise, and what it knows: `Statistics` if it is sent precoders :math:`F`, `Pilots` if it is sent
        :math:`A_k`, the pilots as it hears them.
    whitening
        That of the user's own latents; `no_whitening` if they were not whitened.
    size
        Real dimensions of the user's latents.
    tests
        What it is judged by; None: by its part of the objective alone.
    deploy
        As the access point's: with ``"F_stale"`` it is judged with the equalizer of its last answer.
    """

    user: User
    whitening: Whitening
    size: int
    tests: EvaluationData | None = None
    deploy: Deployment = "Z_refreshed"

    @property
    def num_examples(self) -> int:
        """Number of pilots."""
        return self.user.known.num_pilots

    @property
    def hears_pilots(self) -> bool:
        """Whether it is sent what it hears of the pilots, and not a precoder."""
        return isinstance(self.user.known, Pilots)

    def answer(self, arrays: Arrays) -> tuple[dict[str, Array], dict[str, float], Array]:
        """Return what it sends, what it reports, and its equalizer as floats ``(2, d, K N_R)``, which it keeps.

        Raises
        ------
        ProtocolError
            If it was sent anything but one array of the form that it expects.
        """
        floats = _the_only(arrays)
        heard = self._heard(from_floats(floats))
        equalizer, answer = self.user.answer(heard)
        message = {GRAM: as_floats(answer.gram, floats.dtype), CROSS: as_floats(answer.cross, floats.dtype)}
        return message, {OBJECTIVE.name: self.user.objective(equalizer, heard)}, as_floats(equalizer)

    def judge(
        self, arrays: Arrays, rng: np.random.Generator, kept: Array | None = None
    ) -> tuple[float, int, Mapping[str, float]]:
        r"""Return :math:`J_k`, the number of test data (pilots, without), and the scores.

        Parameters
        ----------
        arrays
            As in `answer`, of what is deployed; where it hears pilots, the test data behind them.
        rng
            Of the noise.
        kept
            The equalizer of its last answer.

        Raises
        ------
        ProtocolError
            As `answer`.
        """
        received = self._heard(from_floats(_the_only(arrays)))
        pilots, data = received, None
        if self.hears_pilots:
            pilots, data = received[:, : self.num_examples], received[:, self.num_examples :]
        elif self.tests is not None and self.tests.sent is not None:
            data = received @ self.tests.sent
        stale = self.deploy == "F_stale" and kept is not None
        equalizer = from_floats(kept) if stale and kept is not None else self.user.equalizer(pilots)
        objective = self.user.objective(equalizer, pilots)
        scores: dict[str, float] = {OBJECTIVE.name: objective}
        if self.tests is None or data is None or not data.size:
            return objective, self.num_examples, scores
        tests = self.tests
        if data.shape[1] != tests.count:
            raise ProtocolError(
                f"test data came as {data.shape[1]} columns: expected {tests.count}, as there are labels"
            )
        receiver = Receiver(whitening=self.whitening, equalizer=equalizer, size=self.size)
        latents = receiver.latents(noisy(data, self.user.noise_std, rng))
        scores[MSE.name] = float(np.mean((latents - tests.latents) ** 2))
        if tests.labels is not None and tests.classify is not None:
            scores[ACCURACY.name] = float(np.mean(tests.classify(latents) == tests.labels))
        return objective, tests.count, scores

    def _heard(self, sent: Complex) -> Complex:
        if sent.ndim != 2:
            raise ProtocolError(f"received {sent.shape}: expected a complex matrix")
        return sent if self.hears_pilots else self.user.hears(sent)


def _the_only(arrays: Arrays) -> Array:
    if len(arrays) != 1:
        raise ProtocolError(f"received {len(arrays)} arrays: expected one, what the user is sent in a round")
    return arrays[0]
