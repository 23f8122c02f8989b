"""What was learnt, as files that PEFT and transformers load.

Where a classification model of transformers reads the same features by one linear layer (``Adapted.has_classifier``)
the files are those of such a model, head included. For all others they are those of the encoder alone, and the head
lies beside, in ``head.safetensors``.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eafl_flower.errors import ConfigError
from eafl_flower.models.lora.adapted import Adapted
from eafl_flower.models.lora.loading import require_transformers
from eafl_flower.models.lora.pooling import pooled
from eafl_flower.types import Array, Arrays

if TYPE_CHECKING:
    import torch
    from torch import nn

_ADAPTER, _HEAD, _HOW = "adapter_model.safetensors", "head.safetensors", "classifier.json"
_TASKS: Final = {"text": "SEQ_CLS", "image": None}


def save_adapter(adapted: Adapted, folder: str | Path, arrays: Sequence[Array]) -> None:
    r"""Write factors and head in PEFT's format.

    ``PeftModel.from_pretrained(base, folder)`` gives the same logits where ``base`` is the classification model of
    transformers with this encoder and as many labels; where there is none, the same features of the encoder itself.
    Layers may have ranks of their own (``rank_pattern``): :math:`\alpha_L` is the same for all.

    Raises
    ------
    ProtocolError, ConfigError
        If arrays are no factors of these layers and a head.
    """
    from peft import LoraConfig
    from safetensors.numpy import save_file

    factors, head = _parts(adapted, arrays)
    ranks = dict(zip((layer.name for layer in adapted.layers), adapted.ranks(arrays), strict=True))
    usual = Counter(ranks.values()).most_common(1)[0][0]
    whole = adapted.has_classifier and bool(head)
    rule = LoraConfig(
        task_type=_TASKS[adapted.kind] if whole else None,
        base_model_name_or_path=adapted.source or None,
        inference_mode=True,
        r=usual,
        lora_alpha=adapted.lora_alpha,  # type: ignore[arg-type]  # PEFT divides by the rank what it is given
        lora_dropout=adapted.dropout,
        target_modules=list(ranks),
        rank_pattern={name: rank for name, rank in ranks.items() if rank != usual},
        modules_to_save=["classifier"] if whole else None,
    )
    prefix = f"base_model.model.{_prefix(adapted)}." if whole else "base_model.model."
    tensors = {}
    for i, name in enumerate(ranks):
        for kind, factor in (("lora_A", factors[2 * i]), ("lora_B", factors[2 * i + 1])):
            tensors[f"{prefix}{name}.{kind}.weight"] = np.ascontiguousarray(factor.T)
    if whole:
        tensors |= {f"base_model.model.classifier.{n}": a for n, a in zip(("weight", "bias"), head, strict=True)}
    path = _made(folder)
    save_file(tensors, path / _ADAPTER, metadata={"format": "pt"})
    rule.save_pretrained(str(path))
    if head and not whole:
        _save_head(adapted, path, head)


def load_adapter(adapted: Adapted, folder: str | Path) -> Arrays:
    """Return the factors and the head that ``save_adapter`` wrote.

    Raises
    ------
    ConfigError
        If the files are not there, or are those of other layers.
    """
    from safetensors.numpy import load_file

    path = Path(folder)
    if not (path / _ADAPTER).is_file():
        raise ConfigError(f"{path} holds no {_ADAPTER}: expected a folder of save_adapter")
    tensors = load_file(path / _ADAPTER)
    whole = "base_model.model.classifier.weight" in tensors
    prefix = f"base_model.model.{_prefix(adapted)}." if whole else "base_model.model."
    names = [f"{prefix}{layer.name}.{kind}.weight" for layer in adapted.layers for kind in ("lora_A", "lora_B")]
    if missing := [name for name in names if name not in tensors]:
        raise ConfigError(f"{path} has no {missing[0]}: it was saved of another encoder, or with other targets")
    factors = [np.ascontiguousarray(tensors[name].T) for name in names]
    if whole:
        head = [tensors[f"base_model.model.classifier.{n}"] for n in ("weight", "bias")]
    else:
        head = _load_head(path) if (path / _HEAD).is_file() else []
    adapted.ranks(factors)
    return (*factors, *head)


def save_merged(adapted: Adapted, folder: str | Path, arrays: Sequence[Array]) -> None:
    r"""Write the encoder with :math:`W + s(r) A B` in the place of W, which transformers loads without PEFT.

    It is a classification model where there is one (``AutoModelForSequenceClassification``,
    ``AutoModelForImageClassification``), else an encoder (``AutoModel``), and ``load_classifier``
    gives the logits.

    Raises
    ------
    ProtocolError, ConfigError
        If arrays are no factors of these layers and a head, or the encoder is not one of transformers.
    """
    from transformers import AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification

    factors, head = _parts(adapted, arrays)
    if not adapted.model_type:
        raise ConfigError("the encoder is not one of transformers, so cannot be saved as such: use save_adapter")
    auto: Any = AutoModel
    whole, state = adapted.has_classifier and bool(head), _merged(adapted, factors)
    config = type(adapted.config).from_dict(adapted.config.to_dict())  # type: ignore[union-attr]
    if whole:
        config.num_labels = len(head[1])
        kinds: dict[str, Any] = {
            "text": AutoModelForSequenceClassification,
            "image": AutoModelForImageClassification,
        }
        model: Any = kinds[adapted.kind].from_config(config)
        encoder = getattr(model, _prefix(adapted))
        _load(model.classifier, dict(zip(("weight", "bias"), head, strict=True)))
    else:
        model = encoder = auto.from_config(config)
    _load(encoder, state)
    path = _made(folder)
    model.save_pretrained(str(path))
    if head and not whole:
        _save_head(adapted, path, head)


def load_classifier(folder: str | Path) -> "nn.Module":
    """Return a module from the encoder's inputs, by name, to logits, of what ``save_merged`` wrote with a head beside.

    Raises
    ------
    ConfigError
        If there is no head beside the encoder.
    """
    require_transformers("load_classifier")
    import torch
    from torch import nn
    from transformers import AutoModel

    path = Path(folder)
    if not (path / _HOW).is_file():
        msg = f"{path} holds no {_HOW}: expected what save_merged wrote of an encoder without a classification model"
        raise ConfigError(msg)
    how = json.loads((path / _HOW).read_text(encoding="utf-8"))["features"]
    weight, bias = (torch.from_numpy(a) for a in _load_head(path))

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(str(path))
            self.classifier = nn.Linear(weight.shape[1], weight.shape[0])
            self.classifier.load_state_dict({"weight": weight, "bias": bias})

        def forward(self, **inputs: Any) -> Any:
            return self.classifier(pooled(self.encoder(**inputs), how, inputs.get("attention_mask")))

    return Classifier().eval()


def _parts(adapted: Adapted, arrays: Sequence[Array]) -> tuple[Arrays, Arrays]:
    adapted.load(arrays)  # which checks them
    count, checked = 2 * len(adapted.layers), adapted.arrays()
    return checked[:count], checked[count:]


def _prefix(adapted: Adapted) -> str:
    return str(getattr(adapted.encoder, "base_model_prefix", ""))


def _merged(adapted: Adapted, factors: Arrays) -> "dict[str, torch.Tensor]":
    """Return the encoder's tensors under the names that they have without adapters."""
    import torch

    state = {n: t.detach().cpu() for n, t in adapted.encoder.state_dict().items() if ".lora_" not in n}
    state = {n.replace(".base_layer.", "."): t for n, t in state.items()}
    for i, layer in enumerate(adapted.layers):
        a, b = (torch.from_numpy(f).double() for f in factors[2 * i : 2 * i + 2])
        weight = state[name := f"{layer.name}.weight"]
        state[name] = (weight.double() + (adapted.lora_alpha / a.shape[1]) * (a @ b).T).to(weight.dtype)
    return state


def _load(module: "nn.Module", state: Any) -> None:
    """Give a module these tensors; it may lack some (a classifier's encoder has no pooler), but gets all of its own."""
    import torch

    found = module.load_state_dict({n: torch.as_tensor(t) for n, t in state.items()}, strict=False)
    if found.missing_keys:
        raise ConfigError(f"the model has {found.missing_keys[0]}, which the encoder has not: save the adapter instead")


def _made(folder: str | Path) -> Path:
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return path


def _save_head(adapted: Adapted, path: Path, head: Arrays) -> None:
    from safetensors.numpy import save_file

    save_file(dict(zip(("weight", "bias"), head, strict=True)), path / _HEAD, metadata={"format": "pt"})
    how = {"kind": adapted.kind, "features": adapted.pooling}
    (path / _HOW).write_text(json.dumps(how, indent=1) + "\n", encoding="utf-8")


def _load_head(path: Path) -> list[Array]:
    from safetensors.numpy import load_file

    tensors = load_file(path / _HEAD)
    return [tensors["weight"], tensors["bias"]]
