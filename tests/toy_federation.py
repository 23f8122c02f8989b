"""A federation small enough to compute by hand: client k adds 0.1 (k + 1) and has 5 (k + 1) examples."""

from dataclasses import dataclass

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from eafl_flower.clients import compression_mod, durable_state_mod
from eafl_flower.energy.model import CMOSEnergy
from eafl_flower.energy.processors import Processors
from eafl_flower.engines.inline import InlineGrid
from eafl_flower.radio.constant_rate import ConstantRate
from eafl_flower.strategies import AsyncEMAM
from eafl_flower.types import Grant, Phase

START = np.arange(6, dtype=np.float32).reshape(2, 3)


def initial():
    return ArrayRecord([START.copy(), np.zeros(3, np.float32)])


def examples_of(client):
    return 5 * (client + 1)


def step_of(client):
    return np.float32(0.1 * (client + 1))


class Recorder:
    """Keeps all events; may raise at one of them, as an observer that is killed."""

    def __init__(self, stop_at=None, error=KeyboardInterrupt):
        self.events, self.stop_at, self.error = [], stop_at, error

    def write(self, event):
        if event["event"] == "resume":
            del self.events[event["events"] :]
            return
        if self.stop_at is not None and len(self.events) == self.stop_at:
            self.stop_at = None
            raise self.error
        self.events.append(dict(event))

    def close(self):
        pass

    def of(self, kind):
        return [e for e in self.events if e["event"] == kind]

    def told(self):
        """All events without wall times."""
        return [{k: v for k, v in e.items() if not k.endswith("wall_s")} for e in self.events]


def toy_app(
    *, codec=None, state_dir=None, train=None, spoil=None, hear=None, plain=(), trains=lambda client: True, outer=()
):
    """The ClientApp of the federation.

    ``train(client, counter, arrays)`` replaces training; ``spoil(client, counter, reply)`` changes the
    reply on its way out, after all mods; ``hear(client, terms)`` gets the terms of each job; clients in ``plain`` do
    not answer the roster query. ``outer`` are mods around all others.
    """

    def spoiling(message, context, call_next):
        client = context.node_config["partition-id"]
        counter = message.content["eafl"]["counter"] if "eafl" in message.content else 0
        reply = call_next(message, context)
        return spoil(client, counter, reply) if message.metadata.message_type == "train" else reply

    def silent(message, context, call_next):
        if hear is not None and message.metadata.message_type == "train" and "eafl" in message.content:
            hear(context.node_config["partition-id"], dict(message.content["eafl"]))
        if "roster" in message.content and context.node_config["partition-id"] in plain:
            raise ValueError("what is a roster?")
        return call_next(message, context)

    mods = [*outer, silent] if spoil is None else [*outer, silent, spoiling]
    mods += [durable_state_mod(state_dir, power_safe=False)]
    mods += [] if codec is None else [compression_mod(codec)]
    app = ClientApp(mods=mods)

    @app.train()
    def train_(message, context):
        client = context.node_config["partition-id"]
        config = message.content["config"]  # compression_mod puts the terms there
        counter = int(config.get("eafl.counter") or message.content["eafl"]["counter"])
        jobs = int(context.state["jobs"]["n"]) + 1 if "jobs" in context.state else 1
        context.state["jobs"] = MetricRecord({"n": jobs})
        arrays = message.content["arrays"].to_numpy_ndarrays()
        new = (
            [a + step_of(client) for a in arrays]
            if train is None or (new := train(client, counter, arrays)) is None
            else new
        )
        metrics = MetricRecord({"num-examples": examples_of(client), "jobs": jobs, "counter": counter})
        return Message(RecordDict({"arrays": ArrayRecord(list(new)), "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        client = context.node_config["partition-id"]
        (first, *_) = message.content["arrays"].to_numpy_ndarrays()
        jobs = int(context.state["jobs"]["n"]) if "jobs" in context.state else 0
        context.state["jobs"] = MetricRecord({"n": 1000})  # an evaluation must change nothing
        metrics = {"num-examples": examples_of(client), "mean": float(first.mean()), "jobs": jobs}
        return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)

    @app.query()
    def query(message, context):
        client, count = context.node_config["partition-id"], context.node_config["num-partitions"]
        if client in plain:
            raise ValueError("what is a roster?")
        metrics = {"partition-id": client, "num-partitions": count, "num-examples": examples_of(client)}
        metrics["trains"] = int(trains(client))
        return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)

    return app


def network(*, up=1e3, down=1e4, cycles=1e6, slowdown=(1.0,)):
    """1 s for 1000 examples, 8 s for 1000 bytes up, 0.8 s for 1000 bytes down; 0.2 W up, 0.1 W down."""
    energy = CMOSEnergy(switched_capacitance_f=1e-28, cycles_per_sample=cycles, frequency_hz=1e9)
    radio = ConstantRate(uplink_rate_bit_s=up, downlink_rate_bit_s=down, uplink_power_w=0.2, downlink_power_w=0.1)
    return {"radio": radio, "processors": Processors(energy=energy, slowdown=slowdown)}


class SameForAll(ConstantRate):
    """Every upload takes 0.4 s and 0.08 J, every download 0.1 s and 0.01 J, whatever is sent."""

    def download(self, client, time_s, num_bytes):
        return Phase(time_s=0.1, energy_j=0.01)

    def grants(self, time_s, uploads):
        return [Grant(rate_bit_s=2.5 * upload.num_bits, power_w=0.2) for upload in uploads]


@dataclass(frozen=True)
class OneSecond(Processors):
    """Every job computes for 1 s and 0.1 J."""

    def compute(self, client, work):
        return Phase(time_s=1.0, energy_j=0.1)


def same_for_all():
    """Every job takes 0.1 s down, 1 s of computation and 0.4 s up, whatever is sent."""
    return {"radio": SameForAll(), "processors": OneSecond()}


def run_toy(num_clients=4, merges=20, *, strategy=AsyncEMAM, app=None, grid=None, recorder=None, codec=None, **options):
    """Run a strategy over the federation; return the run and the recorder."""
    recorder = recorder or Recorder()
    start = {k: options.pop(k) for k in ("evaluate_fn", "timeout", "train_config") if k in options}
    if grid is None:
        grid = InlineGrid(app if app is not None else toy_app(codec=codec), num_clients)
    options = {**network(), **options}
    options.setdefault("clock", "auto")
    options.setdefault("unit", "merges")
    made = strategy(observer=recorder, codec=codec, node_timeout_s=5.0, **options)
    made.start(grid, initial(), num_rounds=merges, **start)
    return made.run, recorder


def arrays_of_run(run):
    return run.result.arrays.to_numpy_ndarrays()


def config_of_reply(reply, name):
    record = reply.content[name]
    assert isinstance(record, ConfigRecord)
    return record
