"""A user of a federated alignment as a Flower client: what it is sent, and the two matrices that it answers with."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Context
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from flwr.common.typing import NDArrays, Scalar

from eafl_flower.alignment.learner import AlignmentLearner
from eafl_flower.clients.bridge import numpy_client_app
from eafl_flower.clients.compression import compression_mod
from eafl_flower.clients.durable_state import durable_state_mod
from eafl_flower.clients.partition import partition_of
from eafl_flower.core.rng import generator
from eafl_flower.protocols import Codec
from eafl_flower.types import Array
from eafl_flower.wire.arrays import array_record, arrays_of

EQUALIZER = "equalizer"


class AlignmentClient(NumPyClient):
    """Answers ``FederatedAlignment`` with two matrices, and scores what it receives; its latents stay with it.

    With ``deploy="F_stale"`` the equalizer of its last answer lies in ``context.state["equalizer"]``. Noise in
    evaluations is a function of (seed, client).

    Parameters
    ----------
    learner
        The user: channel, what it knows of the pilots, and what it is judged by.
    context
        The node's.
    """

    kind = "message"

    def __init__(self, learner: AlignmentLearner, context: Context) -> None:
        self.learner, self.context = learner, context

    @property
    def num_examples(self) -> int:
        """Number of pilots."""
        return self.learner.num_examples

    def fit(  # type: ignore[override]  # a message, by name
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[dict[str, Array], int, dict[str, Scalar]]:
        """Return M^H M and M^H S (or R) as floats, the number of pilots, and this user's part of the objective.

        Raises
        ------
        ProtocolError
            If it was sent something else than it expects.
        """
        message, reported, equalizer = self.learner.answer(tuple(parameters))
        if self.learner.deploy == "F_stale":
            self.context.state[EQUALIZER] = array_record([EQUALIZER], [equalizer])
        return message, self.num_examples, dict(reported)

    def evaluate(self, parameters: NDArrays, config: dict[str, Scalar]) -> tuple[float, int, dict[str, Scalar]]:
        """Return this user's part of the objective, the number of test data, and its scores; nothing is kept.

        Raises
        ------
        ProtocolError
            If it was sent something else than it expects.
        """
        seed, client = int(config.get("eafl.seed", 0)), int(config.get("eafl.client", 0))
        kept = self.context.state.get(EQUALIZER)
        equalizer = arrays_of(kept)[0] if isinstance(kept, ArrayRecord) else None
        loss, count, scores = self.learner.judge(tuple(parameters), generator(seed, "noise", client), equalizer)
        return loss, count, dict(scores)


def alignment_app(
    learner_of: Callable[[int], AlignmentLearner],
    *,
    codec: Codec[Any] | None = None,
    state_dir: Path | str | None = None,
    mods: Sequence[Mod] = (),
) -> ClientApp:
    """Return the ClientApp of the users of a ``FederatedAlignment``.

    Parameters
    ----------
    learner_of
        Returns the user with this partition id; asked once for each in a process.
    codec
        That of the strategy.
    state_dir
        Where clients keep their state; by default ``state-dir`` of the node's configuration.
    mods
        Mods around all others.
    """
    learners: dict[int, AlignmentLearner] = {}

    def client_fn(context: Context) -> AlignmentClient:
        partition, _ = partition_of(context)
        if partition not in learners:
            learners[partition] = learner_of(partition)
        return AlignmentClient(learners[partition], context)

    inner = [durable_state_mod(state_dir, power_safe=state_dir is None)]
    inner += [] if codec is None else [compression_mod(codec, kind=AlignmentClient.kind)]
    return numpy_client_app(client_fn, mods=[*mods, *inner])
