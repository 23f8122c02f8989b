"""Clients that follow orders, and a method whose clients answer with two matrices of other shapes than they get."""

from dataclasses import dataclass

import numpy as np
from flwr.app import ArrayRecord

from eafl_flower.aggregation import accept_message
from eafl_flower.types import ArraySpec

START = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
NAMES, LAYOUT = ("gram", "moment"), (ArraySpec((3, 3), "float32"), ArraySpec((1, 4), "float64"))


def initial():
    return ArrayRecord([START.copy(), np.zeros(3, np.float32)])


@dataclass(frozen=True, kw_only=True)
class SumsState:
    arrays: tuple
    version: int
    seen: tuple  # what all messages sum up to


@dataclass(frozen=True)
class Sums:
    """Adds up the matrices of its clients, and moves the model by a little of what each says."""

    def init(self, arrays):
        zeros = tuple(np.zeros(spec.shape, spec.dtype) for spec in LAYOUT)
        return SumsState(arrays=tuple(np.array(a) for a in arrays), version=0, seen=zeros)

    def expected(self, state, order):
        return NAMES, LAYOUT

    def apply(self, state, updates):
        for update in updates:
            accept_message(update, LAYOUT, version=state.version)
        arrays, seen = tuple(a.copy() for a in state.arrays), tuple(a.copy() for a in state.seen)
        for update in updates:
            gram, moment = update.delta
            seen[0][...] += gram
            seen[1][...] += moment
            for array in arrays:
                array.flat[: min(array.size, 3)] += (0.01 * np.tanh(gram[0] + moment[0, :3]))[: array.size].astype(
                    array.dtype
                )
        return SumsState(arrays=arrays, version=state.version + 1, seen=seen), ()

    def arrays(self, state, order=None):
        return state.arrays


def factory_of(codec=None, *, kind="full", state_dir=None, models=("",), still=(), outer=()):
    """Return a factory that holds all it needs: workers of Ray cannot import this module.

    Clients make as many steps as they are ordered epochs (1 by default), and keep count of them in their state. They
    know the ``models`` named, and change nothing of those that are ``still``. ``outer`` are mods around all others.
    """

    def make_app():
        import numpy as np
        from flwr.app import MetricRecord
        from flwr.client import NumPyClient

        from eafl_flower.clients import compression_mod, durable_state_mod, numpy_client_app

        class Obedient(NumPyClient):
            def __init__(self, context):
                self.context, self.client, self.kind = context, context.node_config["partition-id"], kind
                self.num_examples = 5 * (self.client + 1)

            def fit(self, parameters, config):
                if (model := config.get("eafl.model", "")) not in models:
                    raise ValueError(f"client {self.client} has no model {model!r}, it has {models}")
                epochs = config.get("eafl.epochs", 1)
                state = self.context.state
                made = int(state["made"]["epochs"]) if "made" in state else 0
                state["made"] = MetricRecord({"epochs": made + epochs})
                a, b = parameters[0], parameters[-1]
                scores = {"epochs": epochs, "made": made, "models": models.index(model), "columns": a.shape[1]}
                if still:
                    bent = np.linspace(0.1, 1, 6, dtype=np.float32) * np.float32(model not in still)
                    return [p + bent[: p.size].reshape(p.shape) for p in parameters], self.num_examples, scores
                if kind != "message":
                    step = np.float32(0.1 * (self.client + 1) * epochs + 0.001 * made)
                    return [p + step for p in parameters], self.num_examples, scores
                gram = (a.T @ a)[:3, :3] + np.float32(self.client + 1) * np.eye(3, dtype=np.float32)
                moment = np.array([[epochs, float(a.sum()), float(b.sum()), made]])
                return {"moment": moment, "gram": gram}, self.num_examples, scores

            def evaluate(self, parameters, config):
                known = models.index(config.get("eafl.model", ""))
                return float(abs(parameters[0]).mean()), self.num_examples, {"models": known}

        mods = [*outer, durable_state_mod(state_dir, power_safe=False)]
        mods += [] if codec is None else [compression_mod(codec)]
        return numpy_client_app(Obedient, mods=mods)

    return make_app
