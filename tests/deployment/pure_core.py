"""What a run's updates give without Flower: task, codec and aggregator in one loop, in the order of its event log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eafl_flower.build import build_aggregator, build_codec, build_workload
from eafl_flower.config import RunConfig
from eafl_flower.rng import generator
from eafl_flower.threads import one_thread
from eafl_flower.types import Arrays, Update, layout_of


@dataclass(frozen=True)
class Replayed:
    """The arrays after the last merge, and per merge what the client reported and sent."""

    arrays: Arrays
    losses: list[float]
    uplink_bytes: list[int]


def replay(config: RunConfig, merges: Iterable[Mapping[str, Any]], *, in_flight: int) -> Replayed:
    """Compute every merged update again from (seed, client, counter) and merge in the order of ``merges``.

    A client's head and its codec's state are those its last merged job left: what a lost job has changed is
    never used.
    """
    one_thread()
    workload, codec = build_workload(config), build_codec(config)
    assert codec is not None
    task, seed = workload.task, config.seed
    initial = workload.initial(seed)
    layout = layout_of(initial[: task.num_shared])
    aggregator = build_aggregator(config, in_flight)
    state = aggregator.init(initial[: task.num_shared])

    def sent(version: int, arrays: Arrays) -> Arrays:
        encoded, _ = codec.encode(codec.init(layout), arrays, generator(seed, "downlink", version))
        return codec.decode(codec.init(layout), encoded.payload)[0]

    bases = {0: sent(0, aggregator.arrays(state))}
    heads: dict[int, Arrays] = {}
    streams: dict[int, Any] = {}
    newest: dict[int, int] = {}
    losses, uplink_bytes = [], []
    for event in merges:
        client, counter = event["client"], event["counter"]
        base = bases[event["base_version"]]
        model, loss = task.train(
            base + heads.get(client, initial[task.num_shared :]),
            workload.source.partition(client),
            generator(seed, "train", client, counter),
            epochs=workload.local_epochs,
        )
        heads[client] = model[task.num_shared :]
        stream = replace(streams.get(client, codec.init(layout)), counter=counter, acknowledged=newest.get(client, 0))
        delta = tuple(n - b for n, b in zip(model, base, strict=False))
        encoded, streams[client] = codec.encode(stream, delta, generator(seed, "codec", client, counter))
        newest[client] = counter
        decoded, _ = codec.decode(codec.init(layout), encoded.payload)
        update = Update(
            client=client,
            delta=decoded,
            base_version=event["base_version"],
            num_examples=len(workload.source.partition(client).y_train),
            base=base,
        )
        state = aggregator.apply(state, update)
        bases[state.version] = sent(state.version, aggregator.arrays(state))
        losses.append(loss)
        uplink_bytes.append(len(encoded.payload))
    return Replayed(tuple(a.copy() for a in aggregator.arrays(state)), losses, uplink_bytes)
