"""Size of an encoder that we make ourselves, and how it is trained."""

from dataclasses import asdict, dataclass
from typing import Annotated, Literal

from eafl_flower.core.settings import Count, CountFromOne, NotNegative, Positive, Range, Share, check_settings


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """A small BERT and its training.

    Parameters
    ----------
    layers, width, heads
        Layers, length of a token's vector, heads of attention in each layer; ``heads`` divides ``width``. The inner
        layer of each is four times as wide.
    vocabulary
        Most word pieces, the five special ones included.
    positions
        Most tokens of a text, ``[CLS]`` and ``[SEP]`` included; what is behind them is cut off.
    start
        ``"co-occurrence"``: words that stand near each other begin with similar vectors (``word_vectors``).
        ``"random"``: all weights are random.
    passes, batch_size
        Passes over the corpus; texts of a step.
    learning_rate
        Of AdamW, after the first twentieth of the steps; it rises until then and falls to 0 at the end.
    weight_decay, dropout
        Of AdamW; of the encoder while it trains.
    mask_share
        Share of the tokens that are to be guessed.
    label_weight
        Weight of the classes' loss beside that of the masked words.

    Raises
    ------
    ConfigError
        If a number is out of range, or ``heads`` does not divide ``width``.
    """

    layers: CountFromOne = 4
    width: CountFromOne = 128
    heads: CountFromOne = 4
    vocabulary: Annotated[int, Range(32)] = 8000
    positions: Annotated[int, Range(8)] = 128
    start: Literal["co-occurrence", "random"] = "co-occurrence"
    passes: Count = 12
    batch_size: CountFromOne = 64
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.01
    dropout: Share = 0.1
    mask_share: Annotated[float, Range(0, 1, above=True)] = 0.15
    label_weight: NotNegative = 1.0

    def __post_init__(self) -> None:
        uneven = (
            {} if self.heads and not self.width % self.heads else {"heads": f"does not divide width = {self.width}"}
        )
        check_settings(self, **uneven)

    @property
    def title(self) -> str:
        """Kind and size in words, as the table of training times names it."""
        return f"bert {self.layers} x {self.width}"

    def values(self) -> dict[str, int | float | str]:
        """Return every setting by name."""
        return asdict(self)
