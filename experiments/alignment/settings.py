"""What is compared on which latents, over which channels: settings, nothing else. A method more is one line here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from eafl_flower.alignment import Alignment
from eafl_flower.alignment.disjoint import Aligner, CanonicalCorrelation, Procrustes, Relative, Ridge
from eafl_flower.alignment.settings import Deployment, Links, Regularizer
from eafl_flower.radio.mimo import NoiseConvention

SEEDS: Final = (27, 42, 100, 123, 144, 200)  # of the source
ENCODER_SEED, ENCODER_SHARE = 1, 0.5  # as `eafl latents make` has them
ROUNDS: Final = 30
SNRS_DB: Final = (-20.0, -10.0, 10.0, 20.0, 30.0)
ANTENNAS: Final = (1, 2, 4)
SHARES: Final = (0.1, 0.5, 1.0)
VARIANCES: Final[Mapping[NoiseConvention, float]] = {"code": 0.5, "per_symbol": 1.0}
"""Variance of a channel's entries that goes with each noise convention."""

Select = Literal["first", "top", "eigen"]
Radio = Literal["broadcast", "open", "own", "none"]


@dataclass(frozen=True, kw_only=True)
class Admm:
    """Precoder and equalizers learned together.

    Users whiten their latents, as released, so that each dimension counts alike; or (``white=False``) they only centre
    and scale them, so that the error of the latents themselves counts, and what a user sends shows their covariance.

    Latents are packed into complex vectors that are mapped linearly, as released; or (``wide=True``) they stay real,
    and so do precoders and equalizers, real and imaginary parts of symbols being symbols of their own. That is any real
    map, a widely linear one, of which the complex ones are a part.
    """

    title: str
    links: Links = "shared"
    regularizer: Regularizer = "identity"
    deploy: Deployment = "Z_refreshed"
    white: bool = True
    wide: bool = False

    def settings(self, uses: int, *, noisy_pilots: bool = False) -> Alignment:
        """Return the alignment's settings at so many channel uses; noisy pilots bring their own regularizer."""
        return Alignment(
            channel_uses=uses,
            rho="auto",
            links=self.links,
            regularizer="none" if noisy_pilots else self.regularizer,
            deploy=self.deploy,
        )


@dataclass(frozen=True, kw_only=True)
class Disjoint:
    """A digital map, a selection of what is sent, and a link that undoes the channel.

    ``radio``: ``"broadcast"`` has one precoder, the mean over users, as released; ``"open"`` sends features as they are
    to everybody, and each user inverts its channel as well as noise allows; ``"own"`` is the best link for one user
    alone; ``"none"``: there is no channel, and all features arrive.
    """

    title: str
    select: Select
    aligner: Aligner = field(default_factory=lambda: Ridge(bias=False))
    radio: Radio = "broadcast"


Method = Admm | Disjoint
SQUARES: Final = Ridge()
METHODS: Final[Mapping[str, Method]] = {
    "federated": Admm(title="federated"),
    "multi-link": Admm(title="multi-link", links="multi-link"),
    "federated-scaled": Admm(title="federated, users scale", white=False),
    "multi-link-scaled": Admm(title="multi-link, users scale", links="multi-link", white=False),
    "federated-wide": Admm(title="federated, users scale, real maps", white=False, wide=True),
    "multi-link-wide": Admm(title="multi-link, users scale, real maps", links="multi-link", white=False, wide=True),
    "federated-real": Admm(title="federated, real maps", wide=True),
    "released": Admm(title="federated, as released", regularizer="code_broadcast", deploy="F_stale"),
    "first-k": Disjoint(title="First-K", select="first"),
    "top-k": Disjoint(title="Top-K", select="top"),
    "eigen-k": Disjoint(title="Eigen-K", select="eigen"),
    "eigen-k-open": Disjoint(title="Eigen-K, open broadcast", select="eigen", aligner=SQUARES, radio="open"),
    "eigen-k-own": Disjoint(title="Eigen-K, own links", select="eigen", aligner=SQUARES, radio="own"),
}
ALIGNERS: Final[Mapping[str, tuple[str, Aligner]]] = {
    "squares": ("least squares", SQUARES),
    "ridge": ("ridge, 0.1", Ridge(strength=0.1)),
    "procrustes": ("Procrustes", Procrustes()),
    "cca": ("CCA, 16 pairs", CanonicalCorrelation(pairs=16)),
    "relative": ("relative, 64 anchors", Relative(num_anchors=64, strength=0.1)),
}
RADIOS: Final[Mapping[Radio, str]] = {"none": "no channel", "own": "own links", "open": "open broadcast"}


def method_of(name: str) -> Method:
    """Return a method by its name, ``ALIGNER/RADIO`` of an aligner.

    Examples
    --------
    >>> method_of("procrustes/own").title
    'Procrustes, own links'
    """
    aligner, _, radio = name.partition("/")
    if not radio:
        return METHODS[name]
    words, made = ALIGNERS[aligner]
    known: Radio = next(r for r in RADIOS if r == radio)
    return Disjoint(title=f"{words}, {RADIOS[known]}", select="eigen", aligner=made, radio=known)


@dataclass(frozen=True, kw_only=True)
class World:
    """Images, and who encodes them.

    ``made`` are encoders that are trained here, the first the access point's, ``stored`` those of the data folder.
    ``uses`` are the channel uses of the compression figures, ``snr_uses`` of the SNR figure, ``usual`` of the rest.
    """

    title: str
    images: str
    made: tuple[str, ...]
    stored: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    uses: tuple[int, ...]
    snr_uses: tuple[int, ...]
    usual: int

    @property
    def access_point(self) -> str:
        """The access point's encoder."""
        return self.made[0]

    @property
    def encoders(self) -> tuple[str, ...]:
        """All encoders, the access point's first."""
        return (*self.made, *self.stored)


EVERYBODY, SAME, MIXED = "all", "homogeneous", "heterogeneous"
WORLDS: Final[Mapping[str, World]] = {
    "digits": World(
        title="digits",
        images="digits",
        made=(
            "vit-64-1", "vit-48-1", "vit-32-1", "mlp-64-1", "mlp-96-1", "mlp-128-1",
            "cnn-32-1", "cnn-48-1", "cnn-64-1", "cnn-96-1",
        ),
        stored=(),
        groups={
            EVERYBODY: (
                "vit-48-1", "vit-32-1", "mlp-64-1", "mlp-96-1", "mlp-128-1",
                "cnn-32-1", "cnn-48-1", "cnn-64-1", "cnn-96-1",
            ),
            SAME: ("cnn-32-1", "cnn-48-1", "cnn-64-1", "cnn-96-1"),
            MIXED: ("vit-48-1", "vit-32-1", "mlp-96-1", "cnn-64-1"),
        },
        uses=(1, 2, 4, 6),
        snr_uses=(1, 4),
        usual=2,
    ),
    "cifar10": World(
        title="CIFAR-10",
        images="cifar10",
        made=(
            "cnn-96-1", "cnn-64-1", "cnn-64-2", "cnn-48-1", "cnn-32-1", "vit-64-1", "vit-48-1", "mlp-64-1", "mlp-96-1",
        ),
        stored=("resnet20", "resnet32", "resnet44", "resnet56", "mobilenet"),
        groups={
            EVERYBODY: (
                "cnn-64-1", "cnn-48-1", "vit-64-1", "vit-48-1", "mlp-64-1", "mlp-96-1",
                "resnet20", "resnet44", "resnet56", "mobilenet",
            ),
            SAME: ("resnet20", "resnet32", "resnet44", "resnet56"),
            "homogeneous, the access point's family": ("cnn-64-1", "cnn-64-2", "cnn-48-1", "cnn-32-1"),
            MIXED: ("cnn-64-1", "vit-64-1", "mlp-64-1", "mobilenet"),
        },
        uses=(1, 2, 3, 4, 5, 10),
        snr_uses=(1, 4, 8),
        usual=2,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scenario:
    r"""One alignment with its test.

    Parameters
    ----------
    world, method, group
        Which latents, how, and for which users.
    uses, antennas, snr_db, convention
        Of the channel, as many antennas at the users as at the access point. ``"per_symbol"`` has entries of variance
        1, ``"code"`` of 1/2.
    share, pilots
        Share of the pilots that there are, and how they are chosen: ``"random"`` or ``"herded"``.
    exchange
        ``"pilots"``: users hear them over the channel as it is; ``"statistics"``: they calculate what they would hear
        by the channel as they know it.
    pilot_snr_db
        Signal-to-noise ratio of the pilots [dB]; None: they arrive without noise.
    csi_error
        Variance of the error of the channels as users know them, relative to that of an entry.
    correlation
        Of a channel from a round to the next; 1: it stays.
    late_from
        Round from which every second user takes part; 0: all do from the first; ``rounds``: never.
    seed
        Of channels, start, noise, classifiers and random pilots.
    """

    world: str = "cifar10"
    method: str = "federated"
    group: str = EVERYBODY
    uses: int = 2
    antennas: int = 4
    snr_db: float = 20.0
    convention: NoiseConvention = "code"
    share: float = 1.0
    pilots: Literal["random", "herded"] = "random"
    exchange: Literal["statistics", "pilots"] = "statistics"
    pilot_snr_db: float | None = None
    csi_error: float = 0.0
    correlation: float = 1.0
    late_from: int = 0
    rounds: int = ROUNDS
    seed: int = SEEDS[0]
