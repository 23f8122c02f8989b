"""What an alignment is asked for: channel uses, power, penalty, and which of the variants."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from eafl_flower.core.settings import CountFromOne, Positive, check_settings
from eafl_flower.errors import ConfigError
from eafl_flower.radio.mimo import check_snr

Aggregation = Literal["average", "joint", "consensus"]
Links = Literal["shared", "multi-link"]
Regularizer = Literal["identity", "code_broadcast", "code_diag", "none"]
Deployment = Literal["Z_refreshed", "F_stale"]
Exchange = Literal["pilots", "statistics"]
_HIGH_SNR_DB = 10.0


@dataclass(frozen=True, kw_only=True)
class Alignment:
    r"""Settings of the alternating direction method of multipliers (ADMM) that aligns latent spaces over channels.

    Parameters
    ----------
    channel_uses
        Uses :math:`K` of the channel for a latent.
    power
        Budget :math:`P` of a latent's symbols, over all uses and antennas.
    rho
        Penalty :math:`\rho`; ``"auto"``: 1 from 10 dB on, 10 below, where 1 does not close the residual.
    links
        ``"shared"``: one precoder, one broadcast for all; ``"multi-link"``: one for each user, each with the whole
        budget.
    aggregation
        How a shared precoder comes of the users' answers. ``"average"``: the mean of each user's minimiser, as
        released; ``"joint"``: the minimiser of the mean; ``"consensus"``: a dual for each user, and what is sent is
        feasible at any time.
    regularizer
        What stands for the noise in the equalizer. ``"identity"``: :math:`\sigma^2 I`, which is optimal;
        ``"code_diag"`` and ``"code_broadcast"``: :math:`\sigma(1 + j)` on the diagonal, or on every entry, as
        earlier and later released code; ``"none"``: nothing, for pilots that arrive with the noise in them.
    deploy
        ``"Z_refreshed"``: the feasible copy is sent, and each user fits its equalizer to it; ``"F_stale"``, as
        released: the precoder itself, which may exceed the budget, and equalizers fitted to that of the round before.
    exchange
        What the rounds carry. ``"pilots"``: a column for each pilot; ``"statistics"``: the same sums over pilots, which
        give the same precoders.

    Raises
    ------
    ConfigError
        If a setting is out of range, or ``"joint"`` or ``"consensus"`` is asked of private links.
    """

    channel_uses: CountFromOne = 4
    power: Positive = 1.0
    rho: float | Literal["auto"] = 1.0
    links: Links = "shared"
    aggregation: Aggregation = "average"
    regularizer: Regularizer = "identity"
    deploy: Deployment = "Z_refreshed"
    exchange: Exchange = "statistics"

    def __post_init__(self) -> None:
        private = self.links == "multi-link" and self.aggregation != "average"
        check_settings(self, aggregation="multi-link has nothing to aggregate: leave it at average" if private else "")
        number = isinstance(self.rho, int | float) and not isinstance(self.rho, bool)
        if not (self.rho == "auto" or (number and 0 < self.rho < math.inf)):
            raise ConfigError(f'Alignment: rho = {self.rho!r}: expected a number above 0 or "auto"')

    def penalty(self, snr_db: float | None = None) -> float:
        """Return the penalty as a number.

        Raises
        ------
        ConfigError
            If it depends on the signal-to-noise ratio and none is given, or this is no number from -300 to 300.
        """
        check_snr(snr_db)
        if not isinstance(self.rho, str):
            return float(self.rho)
        if snr_db is None:
            raise ConfigError('rho = "auto" depends on the signal-to-noise ratio: give snr_db, or a number for rho')
        return 1.0 if snr_db >= _HIGH_SNR_DB else 10.0


def check_regularizer(regularizer: str) -> None:
    """Refuse a regularizer that does not exist.

    Raises
    ------
    ConfigError
        With the names of those that do.
    """
    if regularizer not in get_args(Regularizer):
        raise ConfigError(f"regularizer {regularizer!r}: expected one of {', '.join(get_args(Regularizer))}")
