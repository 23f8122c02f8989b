"""Encoders of transformers: where they come from, and which of their layers are adapted."""

import copy
import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from eafl_flower.errors import ConfigError
from eafl_flower.models.extras import require

if TYPE_CHECKING:
    from torch import nn

Kind = Literal["text", "image"]
_ATTENTION = ("query", "key", "value", "q_proj", "k_proj", "v_proj", "q_lin", "k_lin", "v_lin")


def require_transformers(what: str) -> None:
    """Import transformers and peft, and hold torch to the threads that numpy has.

    Raises
    ------
    ModuleNotFoundError
        If one is not installed; says what needs it and how to install it.
    """
    require(what, "transformers", "peft", extra="lora")


def check_settings_of(kind: str, features: str, lora_alpha: float, dropout: float) -> None:
    """Raise ``ConfigError`` with everything that is out of range."""
    wrong = [f'kind = "{kind}": expected "text" or "image"'] if kind not in ("text", "image") else []
    if features not in ("auto", "cls", "mean", "pooler"):
        wrong.append(f'features = "{features}": expected "auto", "cls", "mean" or "pooler"')
    if not (lora_alpha > 0 and math.isfinite(lora_alpha)):
        wrong.append(f"lora_alpha = {lora_alpha}: expected a number above 0")
    if not 0 <= dropout < 1:
        wrong.append(f"dropout = {dropout}: expected at least 0 and below 1")
    if wrong:
        raise ConfigError("; ".join(wrong))


def loaded(encoder: "str | nn.Module") -> "nn.Module":
    """Return a copy of the caller's module, or the encoder of a folder or a name, ``ConfigError`` without one."""
    from transformers import AutoModel, PreTrainedModel

    if not isinstance(encoder, str):
        return copy.deepcopy(encoder.base_model if isinstance(encoder, PreTrainedModel) else encoder)
    try:
        return AutoModel.from_pretrained(encoder)  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = f'encoder "{encoder}" cannot be loaded: {reason} Expected a folder of save_pretrained, or a hub name'
        raise ConfigError(msg) from error


def layers_of(linear: list[str], targets: tuple[str, ...], model_type: str, *, pooler: bool) -> list[str]:
    """Return those of the linear layers that are to be adapted; raises ``ConfigError`` if targets match none."""
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL

    def matching(wanted: Collection[str]) -> list[str]:
        found = [n for n in linear if n in wanted or n.rpartition(".")[2] in wanted]
        return [n for n in found if pooler or n in wanted or "pooler" not in n.split(".")]

    if targets:
        unknown, names = [t for t in targets if not matching((t,))], matching(targets)
        what = f"targets {', '.join(unknown)}"
    else:
        names = matching(_ATTENTION) or matching(USUAL.get(model_type) or ())
        unknown, what = [] if names else ["usual"], "the usual targets query, key and value"
    if unknown:
        last = sorted({n.rpartition(".")[2] for n in linear}) or ["none"]
        raise ConfigError(f"{what} match no linear layer; the encoder has {', '.join(last)}: name some of them")
    return names
