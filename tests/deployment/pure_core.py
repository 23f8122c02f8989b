"""What a run's updates give without Flower: task, codec and aggregator in one loop, in the order of its event log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from eafl_flower.app.resolving import resolve
from eafl_flower.codecs import Float32Codec
from eafl_flower.config import RunConfig
from eafl_flower.core.orders import Order
from eafl_flower.core.rng import generator
from eafl_flower.core.threads import one_thread
from eafl_flower.protocols import DifferenceCodec
from eafl_flower.types import Arrays, Update, layout_of


@dataclass(frozen=True)
class Replayed:
    """The arrays after the last merge, what is served then, and per merge what the client reported and sent."""

    arrays: Arrays
    served: Arrays
    losses: list[float]
    uplink_bytes: list[int]


def replay(config: RunConfig, merges: Iterable[Mapping[str, Any]], *, in_flight: int, clients: int) -> Replayed:
    """Compute every merged update again from (seed, client, counter) and merge in the order of ``merges``.

    A client's head and its codec's state are those its last merged job left: what a lost job has changed is
    never used. So are the arrays that it holds, where the codec sends only differences to them; the decoder goes
    on from the client's last merged upload then.
    """
    one_thread()
    workload, codec = resolve(config).workload, resolve(config).codec
    assert codec is not None
    task, seed = workload.task, config.seed
    initial = workload.initial(seed)
    layout = layout_of(initial[: task.num_shared])
    aggregator = resolve(config).aggregator(in_flight, clients)
    state = aggregator.init(initial[: task.num_shared])

    whole = Float32Codec() if isinstance(codec, DifferenceCodec) else codec
    served = {0: tuple(a.copy() for a in aggregator.arrays(state, Order()))}
    held: dict[int, Arrays] = {}
    decoders: dict[int, Any] = {}

    def base_of(client: int, counter: int, version: int) -> Arrays:
        if isinstance(codec, DifferenceCodec) and client in held:
            down = replace(codec.downlink.init(layout), counter=counter)
            change = tuple(new - old for new, old in zip(served[version], held[client], strict=True))
            encoded, _ = codec.downlink.encode(down, change, generator(seed, "downlink", client, counter))
            decoded, _ = codec.downlink.decode(codec.downlink.init(layout), encoded.payload)
            return tuple(old + moved for old, moved in zip(held[client], decoded, strict=True))
        encoded, _ = whole.encode(whole.init(layout), served[version], generator(seed, "downlink", version))
        return whole.decode(whole.init(layout), encoded.payload)[0]

    def fresh_head(client: int, base: Arrays) -> Arrays:
        rows, rng = workload.source.partition(client), generator(seed, "personalise", client)
        return task.personalise(base + initial[task.num_shared :], rows, rng, client=client)[task.num_shared :]

    heads: dict[int, Arrays] = {}
    streams: dict[int, Any] = {}
    newest: dict[int, int] = {}
    losses, uplink_bytes = [], []
    for event in merges:
        client, counter = event["client"], event["counter"]
        base = base_of(client, counter, event["base_version"])
        model, loss = task.train(
            base + (heads[client] if client in heads else fresh_head(client, base)),
            workload.source.partition(client),
            generator(seed, "train", client, counter),
            epochs=workload.local_epochs,
        )
        heads[client] = model[task.num_shared :]
        stream = replace(streams.get(client, codec.init(layout)), counter=counter, acknowledged=newest.get(client, 0))
        weights = getattr(codec, "codes_weights", False)
        handed_over = tuple(n if weights else n - b for n, b in zip(model, base, strict=False))
        encoded, streams[client] = codec.encode(stream, handed_over, generator(seed, "codec", client, counter))
        newest[client] = counter
        decoded, decoder = codec.decode(decoders.get(client, codec.init(layout)), encoded.payload)
        if isinstance(codec, DifferenceCodec):
            held[client], decoders[client] = base, decoder
        delta = tuple(d - b for d, b in zip(decoded, base, strict=True)) if weights else decoded
        update = Update(
            client=client,
            delta=delta,
            base_version=event["base_version"],
            num_examples=len(workload.source.partition(client).y_train),
            base=base,
        )
        state, _ = aggregator.apply(state, [update])
        served[state.version] = tuple(a.copy() for a in aggregator.arrays(state, Order()))
        losses.append(loss)
        uplink_bytes.append(len(encoded.payload))
    now, shown = (tuple(a.copy() for a in aggregator.arrays(state, order)) for order in (Order(), None))
    return Replayed(now, shown, losses, uplink_bytes)
