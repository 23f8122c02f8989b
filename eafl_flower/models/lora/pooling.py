"""One vector for a text or an image from what an encoder says of its tokens."""

from typing import TYPE_CHECKING, Any, Final, Literal

from eafl_flower.errors import ConfigError

if TYPE_CHECKING:
    import torch

Pooled = Literal["auto", "cls", "mean", "pooler"]

CLASSIFIERS: Final[dict[str, Pooled]] = {"bert": "pooler", "vit": "cls", "swin": "pooler"}
"""How the classification models of transformers whose head is one linear layer pool, by ``config.model_type``."""


def pooled(output: Any, how: Pooled, mask: "torch.Tensor | None") -> "torch.Tensor":
    r"""Return features ``(n, width)``.

    Parameters
    ----------
    output
        Of an encoder: with ``last_hidden_state`` ``(n, tokens, width)`` or ``(n, width, rows, columns)`` and perhaps
        ``pooler_output``; or such a tensor itself, or one of features ``(n, width)``.
    how
        ``"cls"``: the first token; ``"mean"``: the mean :math:`\sum_t m_t h_t / \sum_t m_t`; ``"pooler"``: what the
        encoder's own pooler says.
    mask
        :math:`m`, ``(n, tokens)``: 1 for tokens, 0 for padding; None: there is no padding.

    Raises
    ------
    ConfigError
        If the encoder has no such output.
    """
    if how == "pooler":
        if (found := getattr(output, "pooler_output", None)) is None:
            raise ConfigError('features = "pooler": this encoder has no pooler, choose "cls" or "mean"')
        return found.flatten(1)  # type: ignore[no-any-return]
    hidden: torch.Tensor = getattr(output, "last_hidden_state", output)
    if hidden.ndim == 2:
        return hidden
    if hidden.ndim == 4:
        hidden = hidden.flatten(2).transpose(1, 2)
    if hidden.ndim != 3:
        raise ConfigError(f"an encoder gives shape {tuple(hidden.shape)}: expected (n, tokens, width) or (n, width)")
    if how == "cls":
        return hidden[:, 0]
    if mask is None or mask.shape != hidden.shape[:2]:
        return hidden.mean(1)
    weights = mask.to(hidden.dtype)
    return (hidden * weights[:, :, None]).sum(1) / weights.sum(1, keepdim=True)
