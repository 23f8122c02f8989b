r"""A pretrained classifier of ``transformers`` whose linear layers have adapters of any rank, by ``peft``.

.. math:: y = W x + \frac{\alpha}{r} B^T A^T \mathrm{dropout}(x)

with W frozen. Adapters go in and out as numpy arrays, A ``(d_in, r)`` and B ``(r, d_out)`` of each layer, and then the
head. A rank is what the arrays have: changing it swaps two weights a layer, and nothing is built anew. Several tasks may
share one model, as their heads are arrays, too.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eafl_flower.core.threads import keep_to_one_thread
from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.types import Array, Arrays

if TYPE_CHECKING:
    import torch
    from torch import nn

DEFAULT_TARGETS: Final = ("query", "key", "value")
_ADAPTER: Final = "default"  # peft's name of an only adapter
_HEAD_SCALE: Final = 0.02


def require_peft(what: str) -> None:
    """Import torch, transformers and peft.

    Raises
    ------
    ModuleNotFoundError
        If one is not installed; says what needs it and how to install it.
    """
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ModuleNotFoundError as error:
        msg = f"{what} needs torch, transformers and peft: pip install 'eafl-flower[lora]'"
        raise ModuleNotFoundError(msg, name=error.name) from error
    keep_to_one_thread()


@dataclass(eq=False)
class Adapted:
    """The model, its adapted layers and its head. For one thread at a time.

    Parameters
    ----------
    base
        A local folder or a name of the hub, whose weights are loaded into transformers' classifier for texts (or for
        ``images``); or such a classifier.
    num_labels
        Classes that the base is made with. A task may have others: the last layer of the head is as large as its arrays.
    images
        Whether it classifies images.
    targets
        Ends of the names of the linear layers to adapt; by default those of attention: query, key and value, or
        what peft takes for such a model.
    head
        Names of the modules that are trained whole; by default all beside the encoder.
    lora_alpha
        The scale :math:`\alpha`, as the aggregator has it.
    dropout
        Of what goes into the adapters. Dropout of the base is off.
    device
        Where it computes.

    Raises
    ------
    ConfigError
        If no layer has such a name, or there is no head.
    ModuleNotFoundError
        If a package is missing.
    """

    base: "str | Path | nn.Module"
    num_labels: int = 2
    images: bool = False
    targets: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    lora_alpha: float = 32.0
    dropout: float = 0.1
    device: str = "cpu"
    _spaces: "dict[Any, _Space]" = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        require_peft("fine-tuning with adapters")
        from peft import LoraConfig, get_peft_model
        from torch import nn

        given = isinstance(self.base, nn.Module)
        model: Any = copy.deepcopy(self.base) if given else _loaded(self.base, self.num_labels, images=self.images)
        names = _targets(model, self.targets)
        self.head = _head(model, self.head)
        rank = min(8, *(min(layer.weight.shape) for name, layer in model.named_modules() if name in set(names)))
        config = LoraConfig(r=rank, lora_alpha=self.lora_alpha, lora_dropout=self.dropout, target_modules=names)
        self._peft: Any = get_peft_model(model, config).to(self.device).eval()
        self.model: Any = self._peft.base_model.model
        modules = dict(self.model.named_modules())
        self.layers: dict[str, Any] = {name: modules[name] for name in names}
        self._head = {name: p for name, p in model.named_parameters() if name.split(".")[0] in self.head}
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        self._by_label = {
            f"{name}.{kind}"
            for name, module in self.model.named_modules()
            if isinstance(module, nn.Linear) and module.out_features == self.num_labels
            for kind in ("weight", "bias")
        }

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Size of input and output of each adapted layer."""
        return tuple((layer.in_features, layer.out_features) for layer in self.layers.values())

    def head_shapes(self, num_labels: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the head's arrays for so many classes."""
        return tuple(
            (num_labels, *p.shape[1:]) if name in self._by_label else tuple(p.shape) for name, p in self._head.items()
        )

    def init(self, rng: np.random.Generator, rank: int, num_labels: int) -> Arrays:
        r"""Return adapters that change nothing, and a head.

        A is uniform in :math:`\pm 1/\sqrt{d_{in}}`, B zero. Layers of the head that the base has weights for keep them;
        the last one is normal with deviation 0.02, its bias zero.

        Raises
        ------
        ConfigError
            If a layer has a side below the rank.
        """
        self.check_rank(rank)
        arrays: list[Array] = []
        for d_in, d_out in self.shapes:
            arrays.append((rng.uniform(-1, 1, (d_in, rank)) / np.sqrt(d_in)).astype(np.float32))
            arrays.append(np.zeros((rank, d_out), np.float32))
        for (name, parameter), shape in zip(self._head.items(), self.head_shapes(num_labels), strict=True):
            if name not in self._by_label:
                arrays.append(parameter.detach().cpu().numpy().astype(np.float32))
            elif len(shape) > 1:
                arrays.append((_HEAD_SCALE * rng.standard_normal(shape)).astype(np.float32))
            else:
                arrays.append(np.zeros(shape, np.float32))
        return tuple(arrays)

    def check_rank(self, rank: int) -> None:
        """Raise ``ConfigError`` unless every layer can have adapters of this rank."""
        for name, (d_in, d_out) in zip(self.layers, self.shapes, strict=True):
            if not 1 <= rank <= min(d_in, d_out):
                msg = f"rank {rank} for layer {name} of {d_in} x {d_out}: expected a rank from 1 to {min(d_in, d_out)}"
                raise ConfigError(msg)

    def ranks(self, arrays: Arrays, num_labels: int) -> tuple[int, ...]:
        """Return the rank of each layer in ``arrays``.

        Raises
        ------
        ProtocolError
            If they are not factors of this model's layers and its head.
        """
        count, head = 2 * len(self.layers), self.head_shapes(num_labels)
        if len(arrays) != count + len(head):
            msg = f"{len(arrays)} arrays: expected A and B of {len(self.layers)} layers and {len(head)} of the head"
            raise ProtocolError(msg)
        found = []
        factors = zip(self.layers, self.shapes, arrays[:count:2], arrays[1:count:2], strict=True)
        for name, (d_in, d_out), a, b in factors:
            fits = a.ndim == b.ndim == 2 and a.shape[0] == d_in and b.shape[1] == d_out
            if not fits or a.shape[1] != b.shape[0] or not 1 <= a.shape[1] <= min(d_in, d_out):
                msg = (
                    f"layer {name}: A and B have shapes {a.shape} and {b.shape}, expected ({d_in}, r) and (r, {d_out})"
                )
                raise ProtocolError(msg)
            found.append(a.shape[1])
        for name, shape, array in zip(self._head, head, arrays[count:], strict=True):
            if array.shape != shape:
                raise ProtocolError(f"head {name} has shape {array.shape}, expected {shape}")
        return tuple(found)

    def load(self, arrays: Arrays, num_labels: int) -> "_Space":
        """Let the model have these arrays; return where they lie. Raises as ``ranks``."""
        key = (*self.ranks(arrays, num_labels), num_labels)
        space = self._spaces.get(key)
        if space is None:
            space = self._spaces[key] = self._space(key[:-1], num_labels)
        space.copy_in(arrays)
        for layer, rank, a, b in zip(
            self.layers.values(), key, space.parameters[::2], space.parameters[1::2], strict=False
        ):
            layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight = a, b
            layer.r[_ADAPTER], layer.scaling[_ADAPTER] = rank, self.lora_alpha / rank
        for name, parameter in zip(self._head, space.parameters[2 * len(self.layers) :], strict=True):
            module, _, kind = name.rpartition(".")
            setattr(self.model.get_submodule(module), kind, parameter)
        return space

    def _space(self, ranks: Sequence[int], num_labels: int) -> "_Space":
        shapes: list[tuple[int, ...]] = []
        for rank, (d_in, d_out) in zip(ranks, self.shapes, strict=True):
            shapes += [(rank, d_in), (d_out, rank)]  # as torch has them
        return _Space([*shapes, *self.head_shapes(num_labels)], transposed=2 * len(ranks), device=self.device)

    def logits(self, batch: "Mapping[str, torch.Tensor]") -> "torch.Tensor":
        """Return what the model says to a batch, as it was loaded last."""
        found: torch.Tensor = self.model(**batch).logits
        return found

    @contextmanager
    def training(self, rng: np.random.Generator) -> Iterator[None]:
        """Dropout is on within; it draws from ``rng`` alone, and leaves torch's own generator as it was."""
        import torch

        with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if self.device != "cpu" else []):
            torch.manual_seed(int(rng.integers(2**62)))
            self._dropout(on=True)
            try:
                yield
            finally:
                self._dropout(on=False)

    def _dropout(self, *, on: bool) -> None:
        for layer in self.layers.values():
            layer.lora_dropout.train(on)

    def save_adapter(self, folder: str | Path, arrays: Arrays, num_labels: int) -> None:
        """Save adapters and head as peft does: ``PeftModel.from_pretrained(base, folder)`` gives the same logits.

        The base is to be loaded with ``num_labels``. Layers may have ranks of their own.

        Raises
        ------
        ProtocolError
            If the arrays are not those of this model.
        """
        from peft import LoraConfig, TaskType
        from safetensors.numpy import save_file

        ranks = dict(zip(self.layers, self.ranks(arrays, num_labels), strict=True))
        usual = max(set(ranks.values()), key=list(ranks.values()).count)
        config = LoraConfig(
            r=usual,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.dropout,
            target_modules=list(self.layers),
            rank_pattern={name: rank for name, rank in ranks.items() if rank != usual},
            modules_to_save=list(self.head),
            task_type=None if self.images else TaskType.SEQ_CLS,
            base_model_name_or_path=getattr(getattr(self.model, "config", None), "_name_or_path", "") or None,
            inference_mode=True,
        )
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config.save_pretrained(str(folder))
        count, state = 2 * len(self.layers), {}
        for name, a, b in zip(self.layers, arrays[:count:2], arrays[1:count:2], strict=True):
            state[f"base_model.model.{name}.lora_A.weight"] = np.ascontiguousarray(a.T, np.float32)
            state[f"base_model.model.{name}.lora_B.weight"] = np.ascontiguousarray(b.T, np.float32)
        for name, array in zip(self._head, arrays[count:], strict=True):
            state[f"base_model.model.{name}"] = np.ascontiguousarray(array, np.float32)
        save_file(state, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})

    def save_merged(self, folder: str | Path, arrays: Arrays, num_labels: int) -> None:
        """Save the model with its adapters added to its weights: plain transformers loads it, with the same logits.

        Raises
        ------
        ProtocolError
            If the arrays are not those of this model.
        ConfigError
            If the model is none of transformers.
        """
        if not hasattr(self.model, "save_pretrained"):
            raise ConfigError(f"{type(self.model).__name__} is no model of transformers: save its state_dict instead")
        self.load(arrays, num_labels)
        merged: Any = copy.deepcopy(self._peft).merge_and_unload()
        merged.config.num_labels = num_labels
        merged.save_pretrained(str(folder))
        if isinstance(self.base, str | Path):
            _copy_processor(self.base, folder, images=self.images)


class _Space:
    """Trained parameters of certain shapes as views of one vector, and their gradients as those of another."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], *, transposed: int, device: str) -> None:
        import torch
        from torch import nn

        self._transposed = transposed
        ends = list(accumulate((int(np.prod(shape)) for shape in shapes), initial=0))
        self.flat, self.gradient = (torch.zeros(ends[-1], device=device) for _ in range(2))
        self.places = [slice(i, j) for i, j in pairwise(ends)]
        self._views = [self.flat[place].view(shape) for place, shape in zip(self.places, shapes, strict=True)]
        self.parameters = [nn.Parameter(view) for view in self._views]
        for parameter, place in zip(self.parameters, self.places, strict=True):
            parameter.grad = self.gradient[place].view(parameter.shape)

    def copy_in(self, arrays: Arrays) -> None:
        """Let the parameters be these arrays."""
        import torch

        for i, (view, array) in enumerate(zip(self._views, arrays, strict=True)):
            values = torch.from_numpy(np.ascontiguousarray(array, np.float32))
            view.copy_(values.T if i < self._transposed else values)

    def arrays(self) -> Arrays:
        """Return a copy of the parameters."""
        found = [view.detach().cpu().numpy() for view in self._views]
        return tuple(np.array(a.T if i < self._transposed else a, order="C") for i, a in enumerate(found))


def _loaded(path: "str | Path | nn.Module", num_labels: int, *, images: bool) -> Any:
    import transformers

    kind = transformers.AutoModelForImageClassification if images else transformers.AutoModelForSequenceClassification
    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()  # that the head is new is as it should be
    try:
        return kind.from_pretrained(str(path), num_labels=num_labels, ignore_mismatched_sizes=True)
    except (OSError, ValueError) as error:
        first = str(error).strip().split("\n")[0]
        msg = (
            f"{path} cannot be loaded as an encoder: {first} Expected a folder in the format of transformers, or a name"
        )
        raise ConfigError(f"{msg} of the hub that can be reached from here") from error
    finally:
        transformers.utils.logging.set_verbosity(before)


def _targets(model: Any, given: tuple[str, ...]) -> list[str]:
    from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL
    from torch import nn

    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]

    def of(ends: Sequence[str]) -> list[str]:
        return [name for name in linear if any(name == end or name.endswith(f".{end}") for end in ends)]

    kind = getattr(getattr(model, "config", None), "model_type", "")
    found = of(given) if given else of(DEFAULT_TARGETS) or of(USUAL.get(kind, ()))
    if not found:
        ends = sorted({name.rpartition(".")[2] for name in linear})
        what = f"targets = {given}: no linear layer has such a name" if given else "targets: name the layers to adapt"
        raise ConfigError(f"{what}; the linear layers of {type(model).__name__} end in {', '.join(ends) or 'nothing'}")
    return found


def _head(model: Any, given: tuple[str, ...]) -> tuple[str, ...]:
    parts = {name: part for name, part in model.named_children() if any(True for _ in part.parameters())}
    encoder = getattr(model, "base_model_prefix", "")
    head = given or tuple(name for name in parts if encoder in parts and name != encoder)
    if not head or (unknown := set(head) - set(parts)):
        what = f"head = {given}: {', '.join(sorted(unknown))} is" if given else "head: name what is trained whole,"
        raise ConfigError(f"{what} none of the parts of {type(model).__name__}: {', '.join(parts)}")
    return head


def _copy_processor(path: "str | Path | nn.Module", folder: str | Path, *, images: bool) -> None:
    """Save what makes inputs of texts or images beside the weights, if the base has it."""
    import transformers

    kind: Any = transformers.AutoImageProcessor if images else transformers.AutoTokenizer
    try:
        kind.from_pretrained(str(path)).save_pretrained(str(folder))
    except (OSError, ValueError):
        return
