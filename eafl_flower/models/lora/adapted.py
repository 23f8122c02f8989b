r"""An encoder of transformers with adapters of PEFT, whose rank may be another from one job to the next.

.. math:: x \mapsto x W + s(r)\, D(x) A B, \qquad s(r) = \alpha_L / r

A is ``(d_in, r)`` and B ``(r, d_out)``: PEFT stores both transposed. D is dropout, in PEFT on the input. The encoder is
frozen, and in its evaluation mode also while adapters train: dropout of its own is off. All that is trained, adapters
and the head, are views of one flat vector, and so are their gradients.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eafl_flower.errors import ConfigError, ProtocolError
from eafl_flower.models.lora.loading import Kind, check_settings_of, layers_of, loaded, require_transformers
from eafl_flower.models.lora.pooling import CLASSIFIERS, Pooled, pooled
from eafl_flower.types import Array, Arrays

if TYPE_CHECKING:
    import torch
    from torch import nn

ADAPTER = "default"


class Layer(NamedTuple):
    """An adapted layer: its name in the encoder, and its sides."""

    name: str
    d_in: int
    d_out: int


class Adapted:
    """A frozen encoder with adapters; several tasks may share one, in one thread.

    Parameters
    ----------
    encoder
        Folder, name on the hub, or a module, which is copied and stays as it is. A classification model gives its
        encoder. A module that is not of transformers takes its inputs by name and returns what
        ``pooling.pooled`` reads.
    kind
        ``"text"`` or ``"image"``.
    features
        What the head reads, see ``pooling.pooled``. ``"auto"``: as the classification model of transformers for this
        encoder (BERT: pooler, ViT: cls, Swin: pooler), which can then load what is saved; of others the mean.
    targets
        Last parts of the names of linear layers to adapt (``"query"``), or whole names. Without any: query, key and
        value under the names that models give them, or what PEFT adapts in this type of model. Layers of
        a pooler are adapted only where features are its output.
    lora_alpha, dropout
        The numerator of s, and the share of D, which is on only in training.
    width
        Number of features; 0: the ``hidden_size`` of the encoder's configuration.
    device
        A device of torch, or ``"auto"``: CUDA where there is a GPU.

    Raises
    ------
    ConfigError
        If the encoder cannot be loaded, a setting is out of range, or targets match no linear layer.
    ModuleNotFoundError
        Without transformers or peft.
    """

    def __init__(
        self,
        encoder: "str | nn.Module",
        *,
        kind: Kind = "text",
        features: Pooled = "auto",
        targets: Sequence[str] = (),
        lora_alpha: float = 32.0,
        dropout: float = 0.1,
        width: int = 0,
        device: str = "cpu",
    ) -> None:
        require_transformers(type(self).__name__)
        import torch
        from peft import LoraConfig, inject_adapter_in_model

        check_settings_of(kind, features, lora_alpha, dropout)
        self.kind, self.lora_alpha, self.dropout = kind, float(lora_alpha), float(dropout)
        self.source = encoder if isinstance(encoder, str) else ""
        module = loaded(encoder)
        self.config = getattr(module, "config", None)
        self.model_type = str(getattr(self.config, "model_type", ""))
        self.pooling: Pooled = CLASSIFIERS.get(self.model_type, "mean") if features == "auto" else features
        self.width = width or int(getattr(self.config, "hidden_size", 0))
        if self.width < 1:
            raise ConfigError(f"{type(module).__name__} does not say how many features it has: give width")
        linear = {n: m for n, m in module.named_modules() if isinstance(m, torch.nn.Linear)}
        names = layers_of(list(linear), tuple(targets), self.model_type, pooler=self.pooling == "pooler")
        self.layers = tuple(Layer(n, linear[n].in_features, linear[n].out_features) for n in names)
        rule = LoraConfig(r=1, lora_alpha=1, target_modules=names, lora_dropout=dropout)
        self.device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        self.encoder: nn.Module = inject_adapter_in_model(rule, module).to(self.device).float().eval()
        self.encoder.requires_grad_(False)
        found = dict(self.encoder.named_modules())
        self.adapters: list[Any] = [found[name] for name in names]
        self._shapes: list[tuple[int, ...]] = []
        self._frozen: frozenset[int] = frozenset()
        self.head: tuple[torch.Tensor, ...] = ()

    @property
    def has_classifier(self) -> bool:
        """Whether a classification model of transformers reads the same features by one linear layer."""
        return self.model_type in CLASSIFIERS and CLASSIFIERS[self.model_type] == self.pooling

    def init(self, rng: np.random.Generator, rank: int) -> Arrays:
        r"""Return factors of which the products are zero: A uniform in :math:`\pm 1/\sqrt{d_{in}}`, B zero, float32.

        Raises
        ------
        ConfigError
            If the rank is below 1 or above a side of a layer.
        """
        factors: list[Array] = []
        for layer in self.layers:
            self._check_rank(layer, rank)
            a = rng.uniform(-1.0, 1.0, (layer.d_in, rank)) / math.sqrt(layer.d_in)
            factors += [a.astype(np.float32), np.zeros((rank, layer.d_out), np.float32)]
        return tuple(factors)

    def ranks(self, arrays: Sequence[Array]) -> tuple[int, ...]:
        """Return the rank of each layer in ``arrays``: all factors, behind which others may stand.

        Raises
        ------
        ProtocolError
            If arrays are no factors of these layers.
        ConfigError
            If a rank is above a side of its layer.
        """
        if len(arrays) < 2 * len(self.layers):
            msg = f"{len(arrays)} arrays: expected A and B of {len(self.layers)} layers, and then the head"
            raise ProtocolError(msg)
        ranks = []
        for layer, a, b in zip(self.layers, arrays[::2], arrays[1::2], strict=False):
            rank = a.shape[1] if a.ndim == 2 else 0
            if a.shape != (layer.d_in, rank) or b.shape != (rank, layer.d_out) or {a.dtype.kind, b.dtype.kind} != {"f"}:
                msg = (
                    f"factors of {layer.name} are {a.dtype} {a.shape} and {b.dtype} {b.shape}: "
                    f"expected floats of ({layer.d_in}, r) and (r, {layer.d_out})"
                )
                raise ProtocolError(msg)
            self._check_rank(layer, rank)
            ranks.append(rank)
        return tuple(ranks)

    def load(self, arrays: Sequence[Array], frozen: Collection[int] = ()) -> None:
        """Take factors of any rank, and the head's weights ``(classes, width)`` and bias; raises as ``ranks``.

        Parameters
        ----------
        arrays
            They are copied. Without a head there are only features.
        frozen
            Numbers of the layers whose adapters are not trained.
        """
        import torch

        ranks, still = self.ranks(arrays), frozenset(frozen)
        if not still <= set(range(len(self.layers))):
            raise ConfigError(f"frozen layers {sorted(still)}: expected numbers from 0 to {len(self.layers) - 1}")
        self._check_head(arrays[2 * len(self.layers) :])
        shapes = [tuple(a.shape) for a in arrays]
        if (shapes, still) != (self._shapes, self._frozen):
            self._make_room(shapes, ranks, still)
        order = self._order
        flat = np.concatenate([np.asarray(arrays[i], np.float32).ravel() for i in order])
        with torch.no_grad():
            self._flat.copy_(torch.from_numpy(flat))

    def arrays(self) -> Arrays:
        """Return a copy of the factors and the head, float32."""
        flat = self._flat.detach().to("cpu", copy=True).numpy()
        parts = dict(zip(self._order, self._views(flat), strict=True))
        return tuple(parts[i] for i in range(len(parts)))

    def trained(self) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return what is trained as one vector, and its gradient."""
        return self._flat[self._first :], self._gradient[self._first :]

    def features(self, inputs: "Mapping[str, torch.Tensor]") -> "torch.Tensor":
        """Return the features ``(n, width)`` of a batch; ``inputs`` are the encoder's, by name."""
        return pooled(self.encoder(**inputs), self.pooling, inputs.get("attention_mask"))

    def logits(self, inputs: "Mapping[str, torch.Tensor]") -> "torch.Tensor":
        """Return what the head makes of the features, ``(n, classes)``."""
        from torch.nn.functional import linear

        features = self.features(inputs)
        if features.shape[1] != self.width:
            raise ConfigError(f"the encoder gives {features.shape[1]} features, expected {self.width}: set width")
        return linear(features, *self.head)

    def tail(self, share: float) -> "torch.Tensor":
        r"""Return :math:`\sum \lVert A_{:,k:} \rVert_F \lVert B_{k:} \rVert_F` of what is beyond k columns.

        Here :math:`k = \lfloor share\,r \rfloor`, but at least 1, and the sum is over the layers that are trained.
        HetLoRA's clients add it to their loss.
        """
        total = self._flat.new_zeros(())
        for i, adapter in enumerate(self.adapters):
            if i not in self._frozen:
                a, b = adapter.lora_A[ADAPTER].weight, adapter.lora_B[ADAPTER].weight
                kept = max(1, math.floor(share * len(a)))
                total = total + a[kept:].norm() * b[:, kept:].norm()
        return total

    @contextmanager
    def training(self, rng: np.random.Generator) -> "Iterator[None]":
        """Switch the adapters' dropout on; what it draws is a function of ``rng``, and torch's generator stays."""
        import torch

        seed = int(rng.integers(2**62))
        devices = [] if self.device.type == "cpu" else [self.device]
        with torch.random.fork_rng(devices=devices, device_type=self.device.type if devices else "cuda"):
            torch.manual_seed(seed)
            try:
                self._drop(True)
                yield
            finally:
                self._drop(False)

    def _drop(self, on: bool) -> None:
        for adapter in self.adapters:
            adapter.lora_dropout.train(on)

    def _make_room(self, shapes: list[tuple[int, ...]], ranks: tuple[int, ...], still: frozenset[int]) -> None:
        """Let adapters and head be views of a vector that begins with what is not trained."""
        import torch
        from torch import nn

        self._shapes, self._frozen = shapes, still
        self._order = sorted(range(len(shapes)), key=lambda i: (i // 2 not in still, i))
        self._offsets = list(accumulate((math.prod(shapes[i]) for i in self._order), initial=0))
        self._first = self._offsets[2 * len(still)]
        self._flat, self._gradient = (torch.zeros(self._offsets[-1], device=self.device) for _ in range(2))
        values, gradients = (dict(zip(self._order, self._views(v), strict=True)) for v in (self._flat, self._gradient))
        for i, (adapter, rank) in enumerate(zip(self.adapters, ranks, strict=True)):
            adapter.r[ADAPTER], adapter.scaling[ADAPTER] = rank, self.lora_alpha / rank
            for j, linear in ((2 * i, adapter.lora_A[ADAPTER]), (2 * i + 1, adapter.lora_B[ADAPTER])):
                linear.weight = nn.Parameter(values[j].T, requires_grad=i not in still)
                linear.weight.grad = gradients[j].T if i not in still else None
                linear.out_features, linear.in_features = linear.weight.shape
        head = [nn.Parameter(values[i]) for i in range(2 * len(ranks), len(shapes))]
        for i, parameter in enumerate(head, 2 * len(ranks)):
            parameter.grad = gradients[i]
        self.head = tuple(head)

    def _views(self, flat: Any) -> list[Any]:
        return [
            flat[a:b].reshape(self._shapes[i]) for (a, b), i in zip(pairwise(self._offsets), self._order, strict=True)
        ]

    def _check_head(self, head: Sequence[Array]) -> None:
        if not head:
            return
        shapes = [tuple(a.shape) for a in head]
        if len(head) != 2 or head[0].ndim != 2 or shapes != [(shapes[0][0], self.width), (shapes[0][0],)]:
            msg = f"a head of shapes {shapes}: expected weights (classes, {self.width}) and a bias (classes,)"
            raise ProtocolError(msg)

    def _check_rank(self, layer: Layer, rank: int) -> None:
        most = min(layer.d_in, layer.d_out)
        if not 1 <= rank <= most:
            msg = f"rank {rank} for {layer.name} of {layer.d_in} x {layer.d_out}: expected a rank from 1 to {most}"
            raise ConfigError(msg)


@lru_cache(maxsize=4)
def shared_encoder(
    encoder: str,
    *,
    kind: Kind = "text",
    features: Pooled = "auto",
    targets: tuple[str, ...] = (),
    lora_alpha: float = 32.0,
    dropout: float = 0.1,
    device: str = "cpu",
) -> Adapted:
    """Return the encoder of these settings, loaded once for all tasks and clients of a process; see ``Adapted``."""
    how = {"features": features, "targets": targets, "lora_alpha": lora_alpha, "dropout": dropout, "device": device}
    return Adapted(encoder, kind=kind, **how)  # type: ignore[arg-type]
