"""Federated alignment of latent spaces as a Flower strategy: users answer with two matrices, never with latents."""

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result
from numpy.typing import NDArray

from eafl_flower.alignment.aggregator import PRECODER, AlignmentAggregator
from eafl_flower.alignment.learner import SCORES
from eafl_flower.alignment.packing import as_floats, pack
from eafl_flower.alignment.settings import Alignment
from eafl_flower.alignment.transmission import Sender
from eafl_flower.alignment.whitening import Whitening, fit_whitening
from eafl_flower.core.rng import generator
from eafl_flower.errors import ConfigError
from eafl_flower.radio.mimo import complex_normal
from eafl_flower.strategies.asynchronous import AsynchronousStrategy, EvaluateFn
from eafl_flower.strategies.options import Options
from eafl_flower.wire.arrays import array_record, arrays_of

Complex = NDArray[np.complex128]
_SETTINGS = Alignment()


class FederatedAlignment(AsynchronousStrategy):
    r"""Learns the precoder with which an access point sends its latents to users who have encoders of their own.

    A round carries, down, the precoder :math:`F` or, with ``exchange="pilots"``, the pilots as user k hears them,
    :math:`A_k = (I_K \otimes H_k) F X`; and up :math:`M_k^H M_k` and :math:`M_k^H R_k`, or :math:`M_k^H S_k`. A
    user's latents :math:`S_k` and its equalizer :math:`G_k` never travel. ``AlignmentClient`` is the other side.

    Parameters
    ----------
    pilots
        The access point's own latents of the pilots, real, ``(m_r, n)``: a column is a datum, in the order that
        users have them in.
    num_transmit
        Antennas :math:`N_T` of the access point.
    settings
        What the alignment is asked for; users need the same.
    channels
        :math:`H_k` of each user, by its partition id, where rounds carry pilots; else the access point needs none.
    snr_db
        Least signal-to-noise ratio of the users [dB], on which a penalty ``"auto"`` depends.
    test
        Its own latents of test data, ``(m_r, num_test)``: where rounds carry pilots, evaluations carry these, too.
    synchronous
        Whether it waits for all users of a round. Otherwise each answer makes an iteration when it comes, with the
        last answers of all others.
    keep_missing
        Whether users who miss a round count with their last answer; otherwise they do not until they answer again.
    precision
        What complex numbers travel as: two of these. Sums are in double precision.
    **options
        Settings of the run, see ``RunOptions``: ``seed``, ``codec``, ``evaluate_every``, ``checkpoint``, ...

    Raises
    ------
    ConfigError
        If a setting is out of range, or something that rounds need is not given.
    DataError
        If pilots or test latents are no real matrix, or not finite.

    Examples
    --------
    >>> latents = np.random.default_rng(0).normal(size=(8, 100))
    >>> strategy = FederatedAlignment(latents, num_transmit=2)
    >>> # result = strategy.start(grid, num_rounds=30)
    """

    def __init__(
        self,
        pilots: NDArray[Any],
        *,
        num_transmit: int,
        settings: Alignment = _SETTINGS,
        channels: Sequence[Complex] = (),
        snr_db: float | None = None,
        test: NDArray[Any] | None = None,
        synchronous: bool = True,
        keep_missing: bool = True,
        precision: Literal["float32", "float64"] = "float32",
        **options: Unpack[Options],
    ) -> None:
        if "barrier" in options:
            raise ConfigError("FederatedAlignment: barrier: say synchronous = True or False instead")
        if num_transmit < 1:
            raise ConfigError(f"FederatedAlignment: num_transmit = {num_transmit}: expected at least one antenna")
        if precision not in ("float32", "float64"):
            raise ConfigError(f'FederatedAlignment: precision = {precision!r}: expected "float32" or "float64"')
        self.whitening: Whitening = fit_whitening(pack(pilots))
        white = self.whitening.apply(pack(pilots))
        self.aggregator = AlignmentAggregator(
            settings=settings,
            snr_db=snr_db,
            synchronous=synchronous,
            keep_missing=keep_missing,
            white=white,
            test=None if test is None else self.whitening.apply(pack(test)),
            channels=tuple(channels),
        )
        for user, channel in enumerate(channels):
            if channel.shape[1] != num_transmit:
                msg = (
                    f"channel of user {user} is {channel.shape}: expected {num_transmit} columns, as num_transmit says"
                )
                raise ConfigError(f"FederatedAlignment: {msg}")
        self._shape = settings.channel_uses * num_transmit, len(white)
        self._precision = precision
        usual: Options = {"scores": SCORES}
        usual.update(options)
        super().__init__(lambda in_flight, clients: self.aggregator, barrier=synchronous, **usual)

    def initial(self) -> ArrayRecord:
        r"""Return :math:`F^0` of entries :math:`\mathcal{CN}(0, 1)` by the seed, as floats ``(2, K N_T, m)``."""
        start = complex_normal(self._shape, 1.0, generator(self.options.seed, "alignment", "start"))
        return array_record([PRECODER], [as_floats(start, self._precision)])

    def start(  # type: ignore[override]  # there is something to start from
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | None = None,
        num_rounds: int = 30,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: EvaluateFn | None = None,
    ) -> Result:
        """Align, as ``AsynchronousStrategy.start`` says; by default from ``initial``, in 30 rounds.

        Raises
        ------
        ConfigError
            If it is to start from anything but one precoder of the right shape.
        """
        first = self.initial() if initial_arrays is None else initial_arrays
        if isinstance(first, ArrayRecord):
            shapes = [array.shape for array in arrays_of(first)]
            if shapes != [(2, *self._shape)]:
                raise ConfigError(f"initial_arrays has shapes {shapes}: expected one array {(2, *self._shape)}")
        return super().start(grid, first, num_rounds, timeout, train_config, evaluate_config, evaluate_fn)

    def sender(self, user: int = 0) -> Sender:
        """Return what sends latents after a run: whitening and precoder, of private links that of ``user``.

        Raises
        ------
        ConfigError
            If there was no run.
        """
        if self.run is None:
            raise ConfigError("FederatedAlignment.sender: nothing has been aligned yet, call start first")
        return Sender(whitening=self.whitening, precoder=self.aggregator.deployed(self.run.state, user))
