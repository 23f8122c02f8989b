"""Fractal networks: a shared backbone and a private head whose size fits the client (AFWPM).

The backbone is a fractal block of depth 2 and width 32; a head is a fractal block on its 32 outputs with
a linear classifier. See ``models/fractal.py`` for the blocks and ``heads/`` for the sizes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eafl_flower.core.settings import CountFromOne, NotNegative, Positive, Share, check_settings
from eafl_flower.heads.memory import NO_MEMORY
from eafl_flower.heads.prior import FeatureRanges, entropy_bits, prior_size
from eafl_flower.heads.pruning import (
    WARM_UP_EPOCHS,
    Record,
    looked_at,
    new_record,
    split_record,
    variation,
)
from eafl_flower.heads.size import BACKBONE_DEPTH, BACKBONE_WIDTH, LARGEST, SMALLEST, HeadSize
from eafl_flower.heads.validation import smallest_sufficient
from eafl_flower.models.fractal import Fractal
from eafl_flower.protocols import Memory
from eafl_flower.tasks.backend import Backend, backend_for
from eafl_flower.tasks.checks import check_rows
from eafl_flower.tasks.classifier import Classifier
from eafl_flower.tasks.head_fit import validation_losses, validation_rows
from eafl_flower.tasks.memory import memory_of, recall
from eafl_flower.tasks.passes import steps_per_pass
from eafl_flower.tasks.stored_head import head_of, structure_of
from eafl_flower.tasks.two_phases import TwoPhases, columns
from eafl_flower.types import Array, Arrays, Rows, digest

FEDERATED_SIZE = HeadSize(1, 16)
ONE_SIZE = "a federated head has one size for all clients"


@dataclass(frozen=True, kw_only=True)
class FractalTask(Classifier):
    r"""Classifier :math:`h_{\phi_k}(f_\theta(x))` under cross-entropy, :math:`\theta` shared, :math:`\phi_k` private.

    A local epoch with a private head is two passes over the rows: first the head on frozen features, then
    the backbone under the frozen head, so that what a client sends is the direction that helps *given* a
    head that fits. A job of so many ``steps`` and one with a federated head train all layers together.

    With both, a generic head :math:`g` stands beside the private one, for vehicles that come later. It is federated
    with the backbone and trained with it, on the loss of its own output over the classes that the client has,

    .. math:: -\log\frac{e^{g_y}}{\sum_{c:\,n_c > 0} e^{g_c}}

    (restricted softmax: what a client lacks it does not unlearn for others), and the backbone follows the gradients of
    both. The client itself goes by its private head alone.

    Parameters
    ----------
    num_features, num_classes
        Size of input and output.
    numeric_bins, quantiles
        See ``Classifier``; heads are sized by the features themselves.
    head
        ``"private"``: the head stays with the client; ``"federated"``: it travels too, and all clients
        have the same size; ``"both"``: a private one, and a federated one of size ``1x16`` beside it.
    head_sizes
        Sizes of the heads, given to the clients in turn. Without any a private head's size follows from the
        client's rows, and a federated head is ``1x16``.
    prune_threshold
        Subtrees of a private head whose output varies by less than this share of its power are replaced by
        constants (``heads/pruning.py``); 0: none are.
    ranges
        Gives the bins of the entropies when they are first needed; without it they are those of each client's own
        rows.
    optimizer, adadelta_constants, optimizer_state
        See ``WithOptimizer``; of epochs in two passes there are two, one for the head and one for the backbone. Where
        a subtree of a head is replaced, the head's begins afresh.
    learning_rate, weight_decay
        Of the optimiser; the decay applies to all trained arrays.
    batch_size
        Rows a step; the last batch of a pass may be smaller.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"`` (CUDA where there is a GPU).

    Raises
    ------
    ConfigError
        If a setting is out of range.

    References
    ----------
    Arivazhagan et al., "Federated learning with personalization layers", arXiv:1912.00818, 2019.
    Collins et al., "Exploiting shared representations for personalized federated learning", ICML 2021.
    Chen and Chao, "On bridging generic and personalized federated learning for image classification", ICLR 2022: both
    heads; there the private one adds to the generic one, and that has a balanced loss.
    Li and Zhan, "FedRS: federated learning with restricted softmax for label distribution non-IID data", KDD 2021.
    """

    head: Literal["private", "federated", "both"] = "both"
    head_sizes: tuple[HeadSize, ...] = ()
    prune_threshold: Share = 0.0
    learning_rate: Positive = 0.1
    weight_decay: NotNegative = 0.0
    batch_size: CountFromOne = 16
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    ranges: Callable[[], FeatureRanges | None] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        sizes = ONE_SIZE if self.head == "federated" and len(self.head_sizes) > 1 else ""
        further = {"numeric_bins": self._wrong_bins, "adadelta_constants": self.constants_problem}
        check_settings(self, head_sizes=sizes, **further)

    @property
    def num_shared(self) -> int:
        """Number of leading arrays that are federated."""
        return self.num_backbone + (len(self._generic.shapes) if self._generic else 0)

    @property
    def num_backbone(self) -> int:
        """Number of arrays of the backbone."""
        return len(self.backbone.shapes)

    @cached_property
    def backbone(self) -> Fractal:
        """Structure of the backbone."""
        return Fractal(self.num_inputs, BACKBONE_WIDTH, BACKBONE_DEPTH)

    def init(self, rng: np.random.Generator) -> Arrays:
        """Return initial arrays; a private head is the largest one, of which ``personalise`` cuts each client's.

        Heads of all sizes begin as nearly the same function, so that a backbone serves all; so does the generic one.
        """
        backbone = self.backbone.init(rng)
        largest = self._head_of(LARGEST)
        nested = largest.init_nested(rng, SMALLEST.width)
        generic = largest.cut(nested, self._generic) if self._generic else ()
        return backbone + generic + (() if self.head == "federated" else nested)

    def personalise(self, model: Arrays, rows: Rows, rng: np.random.Generator, *, client: int) -> Arrays:
        """Return the model with the head that ``client`` starts from: a part of the largest one of ``init``.

        Its size is the next of ``head_sizes``, or what the prior (``heads/prior.py``) and its validation
        (``heads/validation.py``) on the frozen backbone say. Equal generators give equal heads.
        """
        if self.head == "federated":
            return model
        check_rows(rows.x_train, rows.y_train, num_features=self.num_features, num_classes=self.num_classes)
        shared, largest = model[: self.num_shared], model[self.num_shared :]
        size = (
            self.head_sizes[client % len(self.head_sizes)]
            if self.head_sizes
            else self._fitting_size(shared, largest, rows, rng)
        )
        record = (new_record(size.depth),) if self.prune_threshold else ()
        return shared + self._head_of(LARGEST).cut(largest, self._head_of(size)) + record

    def prior_size(self, rows: Rows) -> HeadSize:
        """Return the size that the entropy of the client's training rows suggests."""
        ranges = self._ranges or FeatureRanges.of(rows.x_train)
        return prior_size(float(entropy_bits(rows.x_train, ranges).mean()))

    def check_head(self, head: Arrays) -> None:
        """Raise ``ProtocolError`` unless ``head`` is a private head of this task, of any size and however pruned."""
        structure_of(head, self.num_classes)

    def _train(
        self,
        arrays: Arrays,
        rows: Rows,
        rng: np.random.Generator,
        memory: Memory | None,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        first_trained: int = 0,
    ) -> tuple[Arrays, float, Memory]:
        x, y = rows.x_train, rows.y_train
        check_rows(x, y, num_features=self.num_features, num_classes=self.num_classes)
        if first_trained not in (0, self.num_backbone):
            msg = (
                f"first_trained = {first_trained}: expected 0 or {self.num_backbone}, the backbone is frozen as a whole"
            )
            raise ValueError(msg)
        plan = steps_per_pass(len(x), self.batch_size, epochs=epochs, steps=steps)
        in_phases = self.head != "federated" and steps is None and not first_trained
        backend, (_, record) = backend_for(self.device), split_record(arrays)
        inputs = columns(backend, self.inputs(x))
        remembered = memory or NO_MEMORY
        if in_phases and record is not None and self.prune_threshold:
            before = len(arrays)
            arrays, record = self._pruned(arrays, record, inputs, len(plan))
            if len(arrays) < before:
                remembered = {name: array for name, array in remembered.items() if not name.startswith("head.")}
        model = self._model(arrays, backend, np.bincount(y, minlength=self.num_classes) > 0)
        targets = columns(backend, np.eye(self.num_classes, dtype=np.float32)[y])
        if first_trained:
            inputs = model.features(inputs)  # a frozen backbone is a fixed function of the rows
        below, above = (self.new_optimizer(self.learning_rate, self.weight_decay) for _ in range(2))
        optimizers = {"backbone": below, "head": above} if in_phases else {"model": above}
        recall(remembered, optimizers, model.sizes, backend)
        size, loss = self.batch_size, 0.0
        for batches in plan:
            order = rng.permutation(len(y))[: batches * size]
            if in_phases:
                model.train_pass(model.features(inputs), targets, order, size, head=above)
                loss = model.train_pass(inputs, targets, rng.permutation(len(y)), size, backbone=below)
            elif first_trained:
                loss = model.train_pass(inputs, targets, order, size, head=above)
            else:
                loss = model.train_pass(inputs, targets, order, size, together=above)
        remembered = NO_MEMORY if memory is None else memory_of(optimizers, backend)
        return model.arrays() + (() if record is None else (record,)), loss, remembered

    def _logits(self, arrays: Arrays, x: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._model(arrays, backend_for(self.device)).logits(x)
        return logits

    @cached_property
    def _generic(self) -> Fractal | None:
        """The federated head, if there is one."""
        size = FEDERATED_SIZE if self.head == "both" else (*self.head_sizes, FEDERATED_SIZE)[0]
        return None if self.head == "private" else self._head_of(size)

    def _head_of(self, size: HeadSize) -> Fractal:
        return head_of(size, self.num_classes)

    @cached_property
    def _ranges(self) -> FeatureRanges | None:
        return self.ranges() if self.ranges else None

    @cached_property
    def _sizes_found(self) -> dict[tuple[int, str], HeadSize]:
        """What a validation costs is worth keeping: a client is evaluated before its first job on the same arrays."""
        return {}

    def _fitting_size(self, shared: Arrays, largest: Arrays, rows: Rows, rng: np.random.Generator) -> HeadSize:
        key = int(rng.integers(2**63))
        asked = key, digest((*shared, *largest, rows.x_train, rows.y_train))
        if asked not in self._sizes_found:
            self._sizes_found[asked] = self._validated_size(shared, largest, rows, key)
        return self._sizes_found[asked]

    def _validated_size(self, shared: Arrays, largest: Arrays, rows: Rows, key: int) -> HeadSize:
        backend = backend_for(self.device)
        x, y = validation_rows(rows, key)
        features = backend.get(self._model(shared + largest, backend).features(columns(backend, self.inputs(x))))[0]
        settings: dict[str, Any] = {"weight_decay": self.weight_decay, "batch_size": self.batch_size}

        def losses_of(size: HeadSize) -> NDArray[np.float64]:
            head = self._head_of(size)
            initial = self._head_of(LARGEST).cut(largest, head)
            return validation_losses(head, initial, features, y, key, backend=backend, **settings)

        return smallest_sufficient(self.prior_size(rows), losses_of, len(rows.y_train))

    def _model(self, arrays: Arrays, backend: Backend, has_class: NDArray[np.bool_] | None = None) -> TwoPhases:
        own, fleets = arrays[self.num_shared :], arrays[self.num_backbone :]
        generic = self._generic if own else None  # a client without a head of its own goes by the fleet's
        structure, arrays = structure_of(own or fleets, self.num_classes), split_record(arrays)[0]
        return TwoPhases(self.backbone, structure, arrays, backend, generic=generic, has_class=has_class)

    def _pruned(self, arrays: Arrays, record: Record, inputs: Any, epochs: int) -> tuple[Arrays, Record]:
        """Return the model and its record after a look at the subtrees of its head, before ``epochs`` of training."""
        if record[0] >= WARM_UP_EPOCHS:
            backend = backend_for(self.device)
            model = self._model(arrays, backend)
            scores: dict[int, float] = {}
            means: dict[int, Array] = {}
            for nodes, outputs in model.head.children_outputs(model.head_trace(model.features(inputs))):
                values = backend.get(outputs)
                scores.update(zip(nodes, variation(values).tolist(), strict=True))
                means.update(zip(nodes, values.mean(axis=2), strict=True))
            record, gone = looked_at(record, scores, self.prune_threshold)
            if gone:
                head = arrays[self.num_shared : -1]
                arrays = arrays[: self.num_shared] + model.head.prune(head, {node: means[node] for node in gone})[1]
                arrays += (record,)
        record = record.copy()
        record[0] = min(int(record[0]) + epochs, np.iinfo(np.int32).max)
        return (*arrays[:-1], record), record
